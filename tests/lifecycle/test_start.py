"""A start trains what is not done, and keeps what is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")
#: Writes one line a training to a journal that nothing of the product touches.
TRAINER = """\
import json, os, pathlib, sys, time
settings = dict(word.split("=", 1) for word in sys.argv[2:])
with open(settings["journal"], "a") as f:
    f.write(os.environ["RUN_ID"] + "\\n")
while settings.get("wait_for") and not os.path.exists(settings["wait_for"]):
    time.sleep(0.02)
out = pathlib.Path(settings["out_dir"])
(out / "result.json").write_text(json.dumps(sys.argv))
sys.exit(int(settings.get("exit", "0")))
"""


@pytest.fixture
def journalled(new_project: Callable[..., Any], tmp_path: Path) -> Any:
    """A project whose trainer writes a journal: ``trained()`` gives what it trained since."""
    journal = tmp_path / "journal"
    journal.touch()
    row = f"default.py,1,journal={journal}"
    project = new_project(
        trainer=TRAINER, rows=(f"a,{row},", f"bad,{row} exit=3,", f"b,{row},", f"gone,{row},")
    )

    def trained() -> list[str]:
        names = sorted(journal.read_text().split())
        journal.write_text("")
        return names

    project.row, project.trained = row, trained
    return project


def _write_rows(project: Any, *rows: str) -> None:
    header = "run_id,config,seed,overrides,notes"
    (project.root / "flows" / "sweep.csv").write_text("\n".join([header, *rows, ""]))


def test_exactly_the_edited_and_new_rows_are_trained_and_old_flows_still_verify(
    journalled: Any,
) -> None:
    project, row = journalled, journalled.row
    first = project.flow(*ALL)
    folder, campaign = first.folder, first.record("phase.P60.evidence")["campaign_id"]
    assert project.trained() == ["a", "b", "bad", "gone"]

    _write_rows(project, f"a,{row},", f"bad,{row} exit=0,", f"b,{row} lr=1,", f"new,{row},")
    commit_all(project.root, "Edit two rows, add one, remove one")
    second = project.flow(*ALL)
    assert second.code == 0, second.output
    assert project.trained() == ["b", "bad", "new"]
    assert "1 adopted, 2 trained again, 1 new; the archive holds 2 runs" in second.output
    rows = second.record("phase.P70.evidence")["rows"]
    assert sorted(rows) == ["a", "b", "bad", "new"]
    assert rows["a"]["adopted_from"] == campaign

    archive = project.outputs / "_archive" / campaign
    assert sorted(path.name for path in archive.iterdir()) == ["b", "bad"]
    assert json.loads((archive / "bad" / "summary.json").read_text())["ok"] is False
    superseded = project.root / "reports" / "runs" / ".superseded" / folder.name
    assert (superseded / "b" / "summary.json").exists()
    assert (project.outputs / "gone" / "summary.json").exists()
    kept = project.wf("prune", "--superseded", "--json")
    assert f"flow {folder.name} could no longer be verified completely" in kept.stdout
    for flow in (folder, second.folder):
        told = project.wf("verify", str(flow))
        assert told.returncode == 0, told.stdout


def test_good_runs_of_other_code_halt_p60_and_each_way_out_leads_on(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    trainer = project.root / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# changed\n")
    commit_all(project.root, "Change the trainer")

    doctor = project.wf("doctor")
    halted = project.flow(*ALL)
    verdict = halted.record("phase.P60.verdict")
    assert (halted.code, verdict["code"]) == (1, 406)
    error = halted.record("phase.P60.evidence")["error"]
    assert "2 good runs were trained otherwise: one, two (commit " in error
    assert "They took " in error
    assert doctor.returncode == 1 and "2 good runs were trained otherwise" in doctor.stdout
    campaign = json.loads((project.outputs / "one" / "summary.json").read_text())["campaign_id"]
    resume = ("--wf-sweep=resume", f"--wf-campaign={campaign}")
    assert " ".join(resume) in error
    assert 'SWEEP_RETRAIN="one two"' in error
    assert project.wf("fetch-all").returncode == 0
    state = json.loads((project.outputs / "_control" / "workflow_state.json").read_text())
    assert state["state"] == "CHECKED_OUT"

    assert project.flow(*resume, *ALL).code == 0
    project.configure(SWEEP_RETRAIN='"one two"')
    again = project.flow(*ALL)
    assert again.code == 0, again.output
    assert "0 adopted, 2 trained again, 0 new" in again.output


def test_a_resume_with_another_csv_names_each_row_and_the_start_that_leads_on(
    journalled: Any,
) -> None:
    project, row = journalled, journalled.row
    assert project.flow(*ALL).code == 1
    _write_rows(project, f"a,{row},", f"bad,{row} exit=0,", f"b,{row},", f"new,{row},")
    refused = project.flow("--wf-sweep=resume", *ALL)
    verdict = refused.record("phase.P60.verdict")
    again = "pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all"
    assert (verdict["code"], verdict["suggested_next_command"]) == (404, again)
    error = refused.record("phase.P60.evidence")["error"]
    assert "added: new; removed: gone; edited: bad (overrides" in error
    assert f"with `{again}`, which keeps" in error
    project.trained()
    assert project.flow(*ALL).code == 0
    assert project.trained() == ["bad", "new"]


@pytest.mark.long
def test_a_row_that_broke_its_expectation_stays_failed_where_it_is_adopted(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(rows=("one,default.py,1,,",))
    project.configure(WF_EXPECT="train_loss<0.5")
    assert project.flow(*ALL).code == 1
    again = project.flow(*ALL)
    assert again.code == 1
    assert "1 adopted, 0 trained again, 0 new" in again.output
    (row,) = again.record("flow.summary")["rows"]
    assert (row["state"], row["failure_class"]) == ("failed", "expect")
    project.configure(SWEEP_RETRAIN="one")
    assert "0 adopted, 1 trained again" in project.flow(*ALL).output


@pytest.mark.long
def test_an_edited_csv_leads_on_also_while_its_sweep_is_running(
    journalled: Any, tmp_path: Path
) -> None:
    project, row, go = journalled, journalled.row, tmp_path / "go"
    rows = (f"a,{row} wait_for={go},", f"b,{row},")
    _write_rows(project, *rows)
    assert project.flow().code == 0
    campaign = next(path.name for path in (project.outputs / "_control/campaigns").glob("c-*"))
    _write_rows(project, *rows, f"new,{row},")

    start = project.flow()
    assert f"campaign {campaign} is running, for " in start.output
    assert "next: pytest flows/ --wf-flow --wf-sweep=resume\n" in start.output
    resume = project.flow("--wf-sweep=resume")
    assert f"is not that of campaign {campaign}, which is running: added: new" in resume.output
    assert "next: wf sweep-watch\n" in resume.output
    go.touch()
    assert project.wf("sweep-watch").returncode == 0
    project.trained()
    assert project.flow(*ALL).code == 0
    assert project.trained() == ["new"]
