"""The commands of the how-to guides lead where the guides say, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import commit_all
from tests.support import ROOT, damage
from tests.support.guides import Guide

pytestmark = pytest.mark.slow

HEADER = "run_id,config,seed,overrides,notes\n"
ROWS = ("mhc-s1,default.py,1,,", "base-s1,default.py,1,exit=3,")
#: Guides with blocks of commands or config, each in one of the tests below.
FOLLOWED = {
    *("smoke-run", "failed-rows", "edit-rows", "some-rows", "come-back", "silent-pod"),
    *("damaged-files", "make-room", "dependencies", "checkpoints", "several-sweeps", "tasks"),
    *("shared-pod", "track", "messages", "costs", "results-in-pandas", "verify", "expectations"),
    *("stop", "upgrade", "data", "remove"),
}


def test_every_guide_with_commands_is_followed() -> None:
    pages = (ROOT / "docs" / "how-to").glob("*.md")
    assert {page.stem for page in pages if "```sh" in page.read_text()} == FOLLOWED


@pytest.fixture
def project(new_project: Callable[..., Any]) -> Any:
    """A project of a person whom git knows."""
    made = new_project(rows=ROWS)
    Path(made.environ["HOME"], ".gitconfig").write_text(
        "[user]\nname = Tester\nemail = tester@example.invalid\n"
    )
    (made.root / "train" / "prepare.py").write_text(
        "import os, sys\nos.makedirs(sys.argv[1])\n"
        "open(os.path.join(sys.argv[1], 'train.txt'), 'w').write('text')\n"
    )
    commit_all(made.root, "A program that prepares data")
    return made


@pytest.fixture
def guide(project: Any, tmp_path: Path) -> Guide:
    """A reader who is in the project."""
    return Guide(project, tmp_path / "mnt")


def _trained(project: Any, *rows: str) -> None:
    (project.root / "flows" / "sweep.csv").write_text("\n".join([HEADER + rows[0], *rows[1:], ""]))
    assert project.flow("--wf-wait=true", "--wf-fetch=all").code == 0


@pytest.mark.long
def test_failed_edited_and_new_rows_are_trained_as_the_guides_say(
    project: Any, guide: Guide
) -> None:
    sweep = project.root / "flows" / "sweep.csv"
    assert "smoke" in guide.follow("how-to/smoke-run", code=1)
    assert "1 trained again" in guide.follow("how-to/failed-rows", code=1)
    sweep.write_text(f"{HEADER}mhc-s1,default.py,1,steps=2,\nbase-s1,default.py,1,,\n")
    edited = guide.follow("how-to/edit-rows")
    assert edited.count("0 adopted, 2 trained again, 0 new") == 2
    sweep.write_text(f"{sweep.read_text()}mhc-s2,default.py,2,,\nbase-s2,default.py,2,,\n")
    selected = guide.follow("how-to/some-rows")
    assert "plan: 11 phases, 2 of 4 sweep rows" in selected
    assert "2 adopted, 0 trained again, 1 new, 1 not selected" in selected
    resumed = guide.follow("how-to/come-back")
    assert re.search(r"base-s2 +not_selected", resumed), resumed
    assert "step 1: train loss" in resumed
    assert (project.root / "reports" / "runs" / "base-s2" / "summary.json").exists()


@pytest.mark.long
def test_results_are_looked_at_as_the_guides_say(project: Any, guide: Guide) -> None:
    _trained(project, ROWS[0])
    assert "state: ARTIFACTS_SYNCED" in guide.follow("how-to/silent-pod")
    assert "last.train_loss" in guide.follow("how-to/results-in-pandas")
    assert "unknown" in guide.follow("how-to/costs")
    assert "signed" in guide.follow("how-to/verify")
    assert "ready" in guide.follow("how-to/messages")
    assert "ready" in guide.follow("how-to/track")
    assert "plan: 11 phases" in guide.follow("how-to/several-sweeps")


@pytest.mark.long
def test_damage_and_bad_numbers_are_dealt_with_as_the_guides_say(
    project: Any, guide: Guide
) -> None:
    _trained(project, ROWS[0])
    for file in (project.outputs / "_control" / "campaigns").glob("*/campaign.json*"):
        damage.garbage(file)
    kept = guide.follow("how-to/damaged-files")
    assert "from_directory: true" in kept
    assert "1 adopted, 0 trained again, 0 new" in kept
    assert "would_remove:" in guide.follow("how-to/make-room")
    assert "train_loss" in guide.follow("how-to/expectations")
    reader = project.root / "flows" / "test_quality.py"
    assert reader.read_text().count("wf_run") == 3
    assert project.flow("--wf-wait=true").code == 0


def test_a_sweep_is_stopped_and_goes_on_as_the_guides_say(
    project: Any, guide: Guide, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    (project.root / "flows" / "sweep.csv").write_text(f"{HEADER}slow,default.py,1,wait_for={go},\n")
    assert project.flow().code == 0
    stopped = guide.follow("how-to/stop", before={1: go.touch})
    assert re.search(r"slow +stopped", stopped), stopped
    assert "pytest-wf 0." in guide.follow("how-to/upgrade")


@pytest.mark.long
def test_a_pod_is_used_and_all_is_removed_as_the_guides_say(
    project: Any, guide: Guide, tmp_path: Path
) -> None:
    _trained(project, ROWS[0])
    assert "avail" in guide.follow("how-to/tasks").lower()
    for only_config in ("how-to/dependencies", "how-to/checkpoints"):
        assert guide.follow(only_config) == ""
    assert "state:" in guide.follow("how-to/shared-pod")
    guide.follow("how-to/data")
    assert project.wf("config-sync").returncode == 0
    assert (tmp_path / "mnt" / "data" / "train.txt").exists()
    guide.follow("how-to/remove")
    assert not (project.root / "flows").exists()
