"""A pod's results are not deleted while they are not here, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import TRAINER, commit_all

pytestmark = pytest.mark.slow

START = ("--wf-wait=true", "--wf-teardown=keep")
DELETE = ("--wf-sweep=skip", "--wf-fetch=none", "--wf-teardown=delete")
#: A trainer that saves a checkpoint of 1,000 bytes.
SAVING = TRAINER.replace(
    "status = int(", "open(os.path.join(out, 'ckpt.pt'), 'wb').write(b'w' * 1000)\nstatus = int("
)


@pytest.fixture
def saving(new_project: Any) -> Any:
    """A project with one row that saves a checkpoint."""
    return new_project(rows=("one,default.py,1,,",), trainer=SAVING)


def here(project: Any, *parts: str) -> Path:
    """A path below the fetched runs."""
    return Path(project.root, "reports", "runs", *parts)


@pytest.mark.fault("T1")
def test_whole_results_are_deleted_only_when_they_are_here_and_still_as_they_were(
    project: Any,
) -> None:
    assert project.flow(*START, "--wf-fetch=none").code == 0
    refused = project.flow(*DELETE)
    assert refused.code == 1
    assert "are not here and verified: one (" in refused.output
    assert "), two (" in refused.output
    run = project.outputs / "one"
    assert (run / "summary.json").exists()

    assert project.flow("--wf-sweep=skip", "--wf-fetch=all", "--wf-teardown=keep").code == 0
    copy = here(project, "two", "summary.json")
    whole = copy.read_bytes()
    copy.write_bytes(whole.replace(b"true", b"tru3", 1))
    refused = project.flow(*DELETE)
    assert refused.code == 1
    assert "are not here and verified: two (summary.json (not here, " in refused.output
    assert (run / "summary.json").exists()

    copy.write_bytes(whole)
    assert project.flow(*DELETE).code == 0
    assert not run.exists()
    assert json.loads(whole)["ok"] is True


@pytest.mark.fault("T1")
def test_a_file_that_changed_on_the_pod_since_it_was_fetched_is_not_here(project: Any) -> None:
    assert project.flow(*START, "--wf-fetch=all").code == 0
    (project.outputs / "one" / "out" / "late.bin").write_bytes(b"late")
    refused = project.wf("pod-delete")
    assert refused.returncode == 1
    assert "one (out/late.bin (not here, 4 B))" in refused.stderr
    assert (project.outputs / "one" / "out" / "late.bin").exists()


def test_unfetched_results_are_deleted_and_named_where_the_config_says_so(project: Any) -> None:
    project.configure(WF_DELETE_UNFETCHED="1")
    assert project.flow(*START, "--wf-fetch=none").code == 0
    deleted = project.flow(*DELETE)
    assert deleted.code == 0
    assert not list(project.outputs.glob("*/summary.json"))
    lost = deleted.record("phase.P90.evidence")["facts"]["lost"]
    assert [loss["run"] for loss in lost] == ["one", "two"]
    assert all(loss["bytes"] > 0 for loss in lost)
    assert "P90 warning: deleted and nowhere else: one (" in deleted.output


def test_a_flow_that_deletes_its_pod_fetches_the_checkpoints_first(saving: Any) -> None:
    flown = saving.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 0, flown.output
    assert here(saving, "one", "out", "ckpt.pt").read_bytes() == b"w" * 1000
    assert flown.record("phase.P90.evidence")["facts"]["lost"] == []


@pytest.mark.long
def test_a_checkpoint_that_a_flow_left_on_a_kept_pod_stops_the_deletion_later(saving: Any) -> None:
    assert saving.flow(*START, "--wf-fetch=all").code == 0
    assert not here(saving, "one", "out", "ckpt.pt").exists()
    refused = saving.wf("pod-delete")
    assert refused.returncode == 1
    assert "one (out/ckpt.pt (not here, 1.0 kB))" in refused.stderr
    assert "`wf fetch-all --for-delete`" in refused.stderr
    assert saving.wf("fetch-all", "--for-delete").returncode == 0
    assert saving.wf("pod-delete").returncode == 0
    assert here(saving, "one", "out", "ckpt.pt").read_bytes() == b"w" * 1000


def test_checkpoints_are_deleted_where_the_config_says_so(saving: Any) -> None:
    saving.configure(FETCH_INCLUDE_CHECKPOINTS="0", WF_DELETE_CHECKPOINTS="1")
    flown = saving.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 0, flown.output
    named = "deleted and nowhere else: one (out/ckpt.pt (checkpoint, 1.0 kB))"
    assert f"P90 warning: {named}" in flown.output
    assert not saving.outputs.joinpath("one").exists()


def test_runs_of_earlier_campaigns_and_of_the_archive_stop_a_deletion_until_they_are_here(
    project: Any,
) -> None:
    assert project.flow(*START, "--wf-fetch=none").code == 0
    first = json.loads((project.outputs / "one" / "summary.json").read_text())["campaign_id"]
    (project.root / "flows" / "sweep.csv").write_text(
        "run_id,config,seed,overrides,notes\none,default.py,7,,\n"
    )
    commit_all(project.root, "Change a seed, drop a row")
    project.configure(SWEEP_FORCE="1")
    assert project.flow(*START, "--wf-fetch=all").code == 0
    refused = project.wf("pod-delete")
    assert refused.returncode == 1
    assert f"_archive/{first}/one (" in refused.stderr
    assert "two (" in refused.stderr
    fetched = project.wf("fetch-all", "--for-delete", "--json")
    assert fetched.returncode == 0, fetched.stderr
    assert f"_archive/{first}/one" in json.loads(fetched.stdout)["runs"]
    archived = json.loads(here(project, "_archive", first, "one", "summary.json").read_text())
    assert (archived["campaign_id"], archived["seed"]) == (first, 1)
    assert here(project, "two", "summary.json").exists()
    assert project.wf("pod-delete").returncode == 0


@pytest.mark.long
def test_a_flow_that_deletes_its_pod_fetches_the_archive_first(project: Any) -> None:
    assert project.flow(*START, "--wf-fetch=none").code == 0
    project.configure(SWEEP_FORCE="1")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 0, flown.output
    assert len(list(here(project, "_archive").glob("*/*/summary.json"))) == 2
    assert project.wf("verify", str(flown.folder)).returncode == 0
