"""A pod's results are not deleted while they are not here, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.slow

START = ("--wf-wait=true", "--wf-teardown=keep")
DELETE = ("--wf-sweep=skip", "--wf-fetch=none", "--wf-teardown=delete")


def test_whole_results_are_deleted_only_when_they_are_here_and_still_as_they_were(
    project: Any,
) -> None:
    assert project.flow(*START, "--wf-fetch=none").code == 0
    refused = project.flow(*DELETE)
    assert refused.code == 1
    first, second = sorted(p.name for p in project.outputs.iterdir() if p.name[0] != "_")
    assert f"are not here and verified: {first}, {second}" in refused.output
    run = project.outputs / first
    assert (run / "summary.json").exists()

    assert project.flow("--wf-sweep=skip", "--wf-fetch=all", "--wf-teardown=keep").code == 0
    here = project.root / "reports" / "runs" / second / "summary.json"
    whole = here.read_bytes()
    here.write_bytes(whole.replace(b"true", b"tru3", 1))
    refused = project.flow(*DELETE)
    assert refused.code == 1
    assert f"are not here and verified: {second}." in refused.output
    assert (run / "summary.json").exists()

    here.write_bytes(whole)
    assert project.flow(*DELETE).code == 0
    assert not run.exists()
    assert json.loads(whole)["ok"] is True


def test_unfetched_results_are_deleted_where_the_config_says_so(project: Any) -> None:
    project.configure(WF_DELETE_UNFETCHED="1")
    assert project.flow(*START, "--wf-fetch=none").code == 0
    assert project.flow(*DELETE).code == 0
    assert not list(project.outputs.glob("*/summary.json"))
