"""A row that is selected is trained, and no other one: counted by the trainer's own journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import Project

pytestmark = pytest.mark.slow

#: Writes down each training of a row; `b2` reports what a file says.
TRAINER = """
import json, os, pathlib, sys

settings = dict(word.split("=", 1) for word in sys.argv[2:])
place = pathlib.Path({place!r})
with open(place / "journal", "a") as journal:
    journal.write(os.environ["RUN_ID"] + "\\n")
loss = float((place / "loss").read_text()) if os.environ["RUN_ID"] == "b2" else 0.5
with open(os.path.join(settings["out_dir"], "metrics.jsonl"), "a") as f:
    f.write(json.dumps({{"step": 1, "loss": loss}}) + "\\n")
"""
ROW = "flows/test_lifecycle.py::test_row_trains_to_its_end"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of three rows, one of which breaks its expectation."""
    (tmp_path / "project").mkdir()
    root = write_project(tmp_path / "project", trainer=TRAINER.format(place=str(tmp_path)))
    rows = "".join(f"{name},default.py,1,,,loss<1\n" for name in ("a1", "b2", "c3"))
    (root / "flows" / "sweep.csv").write_text("run_id,config,seed,overrides,notes,expect\n" + rows)
    (tmp_path / "loss").write_text("2")
    return Project(root, environment.clean_environ(tmp_path / "home"))


def test_each_selection_trains_its_rows_and_a_resume_the_rest(
    project: Project, tmp_path: Path
) -> None:
    def trained() -> str:
        return " ".join((tmp_path / "journal").read_text().split())

    def counts() -> dict[str, int]:
        found = project.runs[-1].record("flow.summary")["counts"]
        return {name: number for name, number in found.items() if name.startswith("rows_")}

    first = project.flow("-k", "b2 or c3", "--wf-wait=true", "-x")
    assert first.code == 1, first.output
    assert (trained(), counts()) == (
        "b2 c3",
        {"rows_failed": 1, "rows_not_selected": 1, "rows_ok": 1},
    )
    again = ("--wf-sweep=resume", "--wf-wait=true")
    named = project.flow(f"{ROW}[c3]", *again)
    assert named.code == 0, named.output  # what failed before is not selected now
    assert trained() == "b2 c3"
    (tmp_path / "loss").write_text("0.1")
    failed = project.flow("--lf", *again)
    assert failed.code == 0, failed.output
    assert (trained(), counts()) == ("b2 c3 b2", {"rows_not_selected": 1, "rows_ok": 2})
    rest = project.flow(*again, "--wf-fetch=all")
    assert rest.code == 0, rest.output
    assert (trained(), counts()) == ("b2 c3 b2 a1", {"rows_ok": 3})
    assert rest.record("phase.P80.evidence")["fsm_after"] == "ARTIFACTS_SYNCED"
    assert project.wf("verify", str(rest.folder)).returncode == 0
