"""The commands of the how-to guides lead on, run from the pages themselves."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.project.project import Options, load_project
from pytest_wf.testing import write_project
from tests.support import ROOT, damage

pytestmark = pytest.mark.slow

#: The last block of commands, or of config keys, of each guide.
BLOCKS = {
    page.stem: block
    for page in (ROOT / "docs" / "how-to").glob("*.md")
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
}
INSTALL = "dependencies"
HEADER = "run_id,config,seed,overrides,notes\n"
#: What `pytest` and `wf` are in an environment that has pytest-wf installed.
PYTHON = shlex.quote(sys.executable)
PROGRAMS = (
    f'pytest() {{ {PYTHON} -m pytest "$@"; }}\n'
    f"wf() {{ {PYTHON} -c 'from pytest_wf.cli.main import main; main()' \"$@\"; }}\n"
)


def run(project: Any, section: str, code: int = 0) -> str:
    """Run the commands of a section in the project, up to one that fails; their output."""
    done = subprocess.run(
        ["bash", "-e", "-c", PROGRAMS + BLOCKS[section]],
        cwd=project.root,
        env=dict(project.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_the_commands_of_each_section_lead_on(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("mhc-s1,default.py,1,,", "base-s1,default.py,1,exit=3,"))
    Path(project.environ["HOME"], ".gitconfig").write_text(
        "[user]\nname = Tester\nemail = tester@example.invalid\n"
    )
    sweep = project.root / "flows" / "sweep.csv"
    assert project.flow("--wf-wait=true", "--wf-fetch=all").code == 1

    failed = run(project, "failed-rows", code=1)
    assert "1 trained again" in failed

    sweep.write_text(f"{HEADER}mhc-s1,default.py,1,steps=2,\nbase-s1,default.py,1,,\n")
    edited = run(project, "edit-rows")
    assert edited.count("0 adopted, 2 trained again, 0 new") == 2

    sweep.write_text(f"{sweep.read_text()}mhc-s2,default.py,2,,\nbase-s2,default.py,2,,\n")
    selected = run(project, "some-rows")
    assert "plan: 11 phases, 2 of 4 sweep rows" in selected
    assert "2 adopted, 0 trained again, 1 new, 1 not selected" in selected

    resumed = run(project, "come-back")
    assert re.search(r"base-s2 +not_selected", resumed), resumed
    assert "step 1: train loss" in resumed
    assert (project.root / "reports" / "runs" / "base-s2" / "summary.json").exists()

    assert "state: ARTIFACTS_SYNCED" in run(project, "silent-pod")

    for file in (project.outputs / "_control" / "campaigns").glob("*/campaign.json*"):
        damage.garbage(file)
    kept = run(project, "damaged-files")
    assert "from_directory: true" in kept
    assert "4 adopted, 0 trained again, 0 new" in kept

    room = run(project, "make-room")
    assert "would_remove:" in room
    assert list((project.outputs / "_archive").glob("*/*")) == []


def test_the_keys_for_dependencies_are_a_valid_config(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    with (root / "flows" / "workflow.env").open("a") as config:
        config.write(BLOCKS[INSTALL])
    read = load_project(root, Options(), {}, ()).config
    assert read.checkout_install_cmd == "pip install -r requirements.txt"
