"""What the pod says of itself for `wf doctor`; it is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.ownership import MARKER
from tests.support.image_python import make_image
from tests.support.repository import Upstream
from tests.support.search_path import SearchPath
from tests.support.sweep_pod import make_row

Act = Callable[..., dict[str, Any]]


def tree(folder: Path) -> dict[str, int]:
    """Every path below `folder`, with the time of its last change."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def checked_out(act: Act, settings: Settings, upstream: Upstream) -> Act:
    """Looks at a pod with a checkout: ``checked_out(KEY="...")``."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    keys = {"REPO_URL": str(upstream.path)}
    act("checkout", keys=keys)

    def look(**more: str) -> dict[str, Any]:
        return act("readiness", keys={**keys, **more}, rows=[])

    return look


def test_it_changes_nothing(perform: Act, settings: Settings, tmp_path: Path) -> None:
    before = tree(tmp_path)
    found = perform("readiness", rows=[])
    assert tree(tmp_path) == before
    assert found["repository"] == {"kind": "none"}
    assert found["missing"] == []
    assert found["places"]["OPS_REMOTE_OUTPUTS_DIR"]["writable"] is True


def test_a_checkout_is_told_with_its_origin_and_its_changes(
    checked_out: Act, settings: Settings, upstream: Upstream
) -> None:
    found = checked_out()
    assert found["repository"] == {
        "kind": "clone",
        "wanted_origin": str(upstream.path),
        "head": upstream.head,
        "origin": str(upstream.path),
        "unfinished": False,
        "modified": [],
        "empty_submodules": [],
        "lfs": [],
    }
    Path(settings.repo, "train.py").write_text("# by hand\n")
    assert checked_out()["repository"]["modified"] == ["train.py"]


def test_an_environment_of_another_python_is_told(checked_out: Act, settings: Settings) -> None:
    assert checked_out()["venv"] == {}
    Path(settings.repo, ".venv", MARKER).unlink()
    for recreate in ("0", "1"):  # what was not made here is not made anew
        venv = checked_out(VENV_RECREATE=recreate)["venv"]
        assert "pytest-wf did not make it" in venv["message"]
        assert venv["remedy"].startswith("Move it away")


def test_torch_is_asked_of_the_python_that_the_environment_will_be_made_from(
    checked_out: Act, settings: Settings, tmp_path: Path
) -> None:
    image = str(make_image(tmp_path / "image"))

    found = checked_out(REMOTE_PYTHON_BIN=image)

    assert (found["venv"], found["torch"]["python"]) == ({}, image)
    Path(settings.repo, ".venv", "bin", "tool").touch()
    found = checked_out(REMOTE_PYTHON_BIN=image)
    assert "It holds bin/tool" in found["venv"]["message"]
    assert found["torch"]["python"] == settings.venv_python


def test_a_branch_that_the_remote_lacks_is_told(checked_out: Act, upstream: Upstream) -> None:
    assert checked_out(CHECKOUT_BRANCH="main")["remote"]["ok"] is True
    remote = checked_out(CHECKOUT_BRANCH="gone")["remote"]
    assert (remote["ok"], remote["error"]) == (False, "it has no branch 'gone'")
    assert checked_out(EXPECT_GIT_SHA=upstream.head)["remote"]["ok"] is True
    assert checked_out(REPO_URL="/no/such/place")["remote"]["ok"] is False
    assert checked_out(REPO_URL=".")["remote"] == {}


def test_the_start_is_planned_for_the_commit_that_the_pod_would_fetch(
    checked_out: Act, upstream: Upstream
) -> None:
    assert checked_out()["start"]["git_sha"] == upstream.head
    upstream.commit("train.py", "print('more')\n")
    assert checked_out()["start"]["git_sha"] == "", "it is not on the pod yet"


def test_folders_of_unknown_origin_and_runs_in_the_way_are_told(
    act: Act, settings: Settings
) -> None:
    outputs = Path(settings.outputs)
    for name in ("one", "backup"):
        (outputs / name).mkdir(parents=True)
        (outputs / name / "notes.txt").write_text("mine")
    found = act("readiness", rows=[make_row("one")], git_sha="")
    assert found["unknown_files"] == ["backup", "one"]
    assert found["start"]["kind"] == "run-exists"
    assert f"{outputs}/one exists, and pytest-wf did not make it" in found["start"]["message"]
    assert act("readiness", rows=[make_row("two")])["start"] == {
        "plan": {"adopted": 0, "again": 0, "new": 1},
        "archive": {"runs": 0, "bytes": 0},
        "git_sha": "",
    }


def test_scripts_that_are_not_there_are_told(act: Act, tmp_path: Path) -> None:
    (tmp_path / "here.sh").write_text("")
    keys = {"BOOTSTRAP_SCRIPT": str(tmp_path / "here.sh"), "WANDB_SETUP_SCRIPT": "/gone.sh"}
    scripts = act("readiness", keys=keys, rows=[])["scripts"]
    assert scripts["BOOTSTRAP_SCRIPT"]["is_file"] is True
    assert scripts["WANDB_SETUP_SCRIPT"]["is_file"] is False


def test_packages_that_apt_cannot_install_are_told(act: Act, path: SearchPath) -> None:
    path.remove("tmux")  # which is not required
    keys = {"AUTO_INSTALL_PREREQS": "1", "APT_PACKAGES": "no-such-package"}
    told = act("readiness", keys=keys, rows=[])["apt"]
    assert told["message"] == "no-such-package cannot be installed: the pod has no apt-get"
    assert told["remedy"] == "Correct APT_PACKAGES; take out what apt cannot install there."
    assert act("readiness", keys={**keys, "AUTO_INSTALL_PREREQS": "0"}, rows=[])["apt"] == {}
    assert act("readiness", keys={**keys, "APT_PACKAGES": ""}, rows=[])["apt"] == {}


def test_what_p40_installs_is_told_apart_from_what_it_does_not(act: Act, path: SearchPath) -> None:
    path.remove("git", "tmux")
    keys = {"AUTO_INSTALL_PREREQS": "1", "REMOTE_PYTHON_BIN": "/opt/missing/bin/python"}

    def told() -> dict[str, bool]:
        missing = act("readiness", keys=keys, rows=[])["missing"]
        return {need["name"].split()[0]: need["is_installed_by_p40"] for need in missing}

    assert told() == {"git": False, "tmux": False, "/opt/missing/bin/python": False}
    path.add_apt()
    assert told() == {"git": True, "tmux": True, "/opt/missing/bin/python": False}
