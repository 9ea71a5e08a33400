"""What the guides for extending pytest-wf say, done to a copy of it and used by a flow."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

GUIDES = ("launcher", "metric-reader", "report-view", "config-key", "executor")
#: Writes what the new reader reads, and says how it was started.
TRAINER = """\
import os, sys

settings = dict(word.split("=", 1) for word in sys.argv[2:])
with open(os.path.join(settings["out_dir"], "scores.txt"), "w") as f:
    f.write("bleu 31.5\\n")
print("mode", sys.flags.dev_mode, "niceness", os.nice(0), flush=True)
"""


def blocks(guide: str, language: str) -> list[tuple[str, str]]:
    """The blocks of a guide that begin with a path: it, and the rest."""
    text = (ROOT / "docs" / "extending" / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n# (\S+)\n(.*?)```", text, re.DOTALL)


def patched(text: str, diff: str) -> str:
    """`text` with the change of a block, whose other lines are there once."""
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[0] in " -")
    after = "\n".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of pytest-wf to which everything was done that the guides say."""
    copy = tmp_path / "extended"
    shutil.copytree(
        ROOT / "pytest_wf", copy / "pytest_wf", ignore=shutil.ignore_patterns("__pycache__")
    )
    for guide in GUIDES:
        for language in ("python", "html"):
            for name, text in blocks(guide, language):
                if name.startswith("pytest_wf/"):
                    assert not (copy / name).exists()
                    (copy / name).write_text(text)
        for name, diff in blocks(guide, "diff"):
            (copy / name).write_text(patched((copy / name).read_text(), diff))
    keys = copy / "pytest_wf" / "config" / "keys.py"
    # what the guide on executors says of the choices of WF_ENGINE
    choices = (
        '     wf_engine: str = _sweep(\n-        choice("pod"\n+        choice("polite", "pod"'
    )
    keys.write_text(patched(keys.read_text(), choices))
    return copy


def test_a_flow_uses_what_the_guides_added(extended: Path, new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("one,default.py,1,,",), trainer=TRAINER)
    project.environ = {**project.environ, "PYTHONPATH": str(extended)}
    ((name, phase),) = [one for one in blocks("config-key", "python") if "flows/" in one[0]]
    (project.root / name).write_text(phase)
    project.configure(
        TRAIN_LAUNCHER="devmode", WF_ENGINE="polite", WF_TEAM="vision", SWEEP_FORCE="1"
    )
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    run = project.root / "reports" / "runs" / "one"
    assert "mode True niceness 10" in (run / "stdout.log").read_text()
    (row,) = flown.record("flow.summary")["rows"]
    assert row["metrics"]["bleu"] == 31.5
    assert json.loads((run / "summary.json").read_text())["sources"]["bleu"] == "scores.txt"
    assert "<li>one: " in (project.root / "reports" / "report.html").read_text()
    assert "PHASE=P55 COURT=pass" in flown.output


@pytest.mark.parametrize(
    ("guide", "most"), [("launcher", 2), ("metric-reader", 3), ("executor", 2)]
)
def test_a_guide_touches_as_few_files_as_it_says(guide: str, most: int) -> None:
    touched = {name for one in ("python", "diff") for name, _ in blocks(guide, one)}
    assert len(touched) <= most


def test_the_template_of_the_guide_on_launchers_is_a_valid_config(tmp_path: Path) -> None:
    from pytest_wf.project.load import load_project
    from pytest_wf.project.project import Options
    from pytest_wf.testing import write_project

    ((_, lines),) = blocks("launcher", "sh")
    root = write_project(tmp_path)
    with (root / "flows" / "workflow.env").open("a") as config:
        config.write(lines)
    assert "-X dev" in load_project(root, Options(), {}, ()).config.train_command_template
