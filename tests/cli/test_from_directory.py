"""Results are fetched whatever the pod's control files say, and marked as such."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import damage

pytestmark = [pytest.mark.slow, pytest.mark.fault("S4")]


def outputs(wf: Any) -> Path:
    return Path(wf.root, ".wf/pod/outputs")


def control_files(wf: Any) -> Iterator[Path]:
    """Every control file of the pod, its copy included."""
    control = outputs(wf) / "_control"
    for name in ("workflow_state", "lease", "made", "checkout"):
        yield from control.glob(f"{name}.json*")
    yield from (control / "campaigns").rglob("*.json*")


def record(wf: Any, run_id: str) -> dict[str, Any]:
    found = json.loads((wf.root / "reports/runs" / run_id / "FETCHED.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def harmed(new_wf: Callable[..., Any]) -> Any:
    """A project whose sweep has ended, and whose pod has not one control file left whole."""
    wf = new_wf(rows=("one,default.py,1,,", "bad,default.py,2,exit=3,"))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    assert wf("sweep-watch").code == 1
    for path in list(control_files(wf)):
        damage.truncate(path)
    damage.garbage(outputs(wf) / "bad" / "summary.json")
    return wf


def test_results_are_fetched_and_a_sweep_is_started_where_every_control_file_is_damaged(
    harmed: Any,
) -> None:
    told = harmed("sweep-status")
    assert told.code == 1
    assert "`wf fetch-all --from-directory`" in " ".join(told.problems)

    told = harmed("fetch-all", "--from-directory", "--json")
    assert told.code == 0, told
    assert told.document["verified"] is False
    for run_id in ("one", "bad"):
        log = f"{run_id}/stdout.log"
        assert (harmed.root / "reports/runs" / log).read_bytes() == (
            outputs(harmed) / log
        ).read_bytes()
        assert record(harmed, run_id)["from_directory"] is True
        assert record(harmed, run_id)["whole"] is False
    assert harmed("fetch-run", "one", "--from-directory").code == 0
    assert not (harmed.root / "reports/runs/.superseded").exists()

    # the way on that each refusal names, to the end
    harmed.all_good("fsm-reset CHECKED_OUT")
    damaged = {p: p.read_bytes() for p in outputs(harmed).rglob("*.unreadable-*")}
    assert len(damaged) >= 4
    harmed.configure(SWEEP_FORCE="1")
    harmed.all_good("config-sync", "sweep-start")
    assert harmed("sweep-watch").code == 1
    told = harmed("fetch-all", "--json")
    assert told.document["verified"] is True, told
    assert record(harmed, "one")["from_directory"] is False
    assert (harmed.root / "reports/runs/.superseded").exists()
    assert all(path.read_bytes() == content for path, content in damaged.items())


@pytest.mark.long
def test_a_run_that_is_not_there_is_said_to_be_not_there(swept: Any) -> None:
    told = swept("fetch-run", "nothing", "--from-directory")
    assert told.code == 1
    assert "no directory of a run 'nothing'" in told.problems[0]


def test_what_is_here_and_verified_stays_so(swept: Any) -> None:
    swept.all_good("fetch-run one")
    before = record(swept, "one")

    swept.all_good("fetch-run one --from-directory")

    assert record(swept, "one") == before
