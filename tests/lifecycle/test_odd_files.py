"""Odd files of one row cost that row the word 'complete', and no other row anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import Project

pytestmark = pytest.mark.slow

TRAINER = r"""
import os, sys

settings = dict(word.split("=", 1) for word in sys.argv[2:])
out = settings["out_dir"]

def write(path, data=b"data"):
    os.makedirs(os.path.dirname(os.path.join(out, path)), exist_ok=True)
    with open(os.path.join(os.fsencode(out), os.fsencode(path)), "wb") as f:
        f.write(data)

write("result.json", b"{}")
if settings["does"] == "checkpoints":
    write("ckpt.pt", b"w" * 1000)
    write("checkpoint-500/model.safetensors", b"w" * 2000)
    os.symlink("checkpoint-500", os.path.join(out, "latest"))
if settings["does"] == "odd":
    os.mkfifo(os.path.join(out, "pipe"))
    os.symlink("/etc", os.path.join(out, "away"))
if settings["does"] == "names":
    for name in (b"b:0.npy", b"W.npy", b"w.npy", b"a\nb", b"\xff"):
        write(os.fsdecode(name), name)
    os.symlink(os.path.join(out, "W.npy"), os.path.join(out, "best"))
"""


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Project]:
    """A project whose rows leave files of all kinds."""
    (tmp_path / "project").mkdir()
    rows = tuple(f"{does},default.py,1,does={does}," for does in ("checkpoints", "names", "odd"))
    root = write_project(tmp_path / "project", trainer=TRAINER, rows=rows)
    made = Project(root, environment.clean_environ(tmp_path / "home"))
    yield made
    made.wf("sweep-stop")


def _record(project: Project, run_id: str) -> dict[str, Any]:
    path = project.root / "reports" / "runs" / run_id / "FETCHED.json"
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def test_p80_names_the_run_and_the_file_and_the_other_runs_come_home_verified(odd: Project) -> None:
    flown = odd.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1
    verdict = flown.record("phase.P80.verdict")
    assert (verdict["phase_pass"], verdict["code"]) == (False, 590)
    facts = flown.record("phase.P80.evidence")["facts"]
    assert {run_id: run["verified"] for run_id, run in facts["runs"].items()} == {
        "checkpoints": True,
        "names": True,
        "odd": False,
    }
    for name in ("run odd", "out/pipe (a named pipe)", "out/away (a link out of the run directory"):
        assert name in flown.output
    assert "run names" not in flown.output
    assert facts["synced"] is False

    here = odd.root / "reports" / "runs"
    assert _record(odd, "odd")["whole"] is False
    assert (here / "odd" / "out" / "result.json").read_text() == "{}"
    assert _record(odd, "names")["left_out"] == []
    assert (here / "names" / "out" / "a\nb").read_bytes() == b"a\nb"
    assert (here / "names" / "out" / "best").read_bytes() == b"W.npy"
    left_out = {
        one["path"]: (one["bytes"], one["why"]) for one in facts["runs"]["checkpoints"]["left_out"]
    }
    assert left_out == {
        "out/checkpoint-500/": (2000, "checkpoint"),
        "out/ckpt.pt": (1000, "checkpoint"),
        "out/latest": (0, "checkpoint"),
    }
    junit = (odd.root / "reports" / "junit.xml").read_text()
    assert "wf.left_out.checkpoints=on the pod, and not fetched: " in junit
    assert "out/ckpt.pt (checkpoint, 1.0 kB)" in junit
    assert "out/ckpt.pt (checkpoint, 1.0 kB)" in flown.output
    assert "; FETCH_INCLUDE_CHECKPOINTS=1 fetches checkpoints" in flown.output
    page = (odd.root / "reports" / "report.html").read_text()
    assert "out/ckpt.pt (checkpoint, 1.0 kB)" in page
    verified = odd.wf("verify", str(flown.folder))
    assert verified.returncode == 0, verified.stdout


@pytest.mark.long
def test_adopted_rows_that_are_here_are_not_copied_again(odd: Project) -> None:
    odd.flow("--wf-wait=true", "--wf-fetch=all")
    first = _record(odd, "names")
    again = odd.flow("--wf-wait=true", "--wf-fetch=run:names")
    assert again.code == 0, again.output
    assert again.record("phase.P80.evidence")["facts"]["campaign_id"] != first["campaign_id"]
    assert _record(odd, "names") == first
    here = odd.root / "reports" / "runs"
    names = {path.name for path in here.iterdir() if not path.name.startswith(".")}
    assert names == {"checkpoints", "names", "odd"}
    assert not list((here / ".superseded").glob("*/names"))
    page = (odd.root / "reports" / "report.html").read_text()
    assert "runs/names/stdout.log" in page, "the page finds the adopted run"
