"""The tutorial, followed from its first page to its last."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import LoopbackLium, Node, SshdPods
from pytest_wf.testing import commit_all, write_project
from tests.support import ROOT, environment
from tests.support.flow_project import Project
from tests.support.guides import Guide
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of a person whom git knows, with an SSH key."""
    made = tmp_path / "home"
    (made / ".ssh").mkdir(parents=True, mode=0o700)
    (made / ".gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.invalid\n")
    return made


@pytest.fixture
def account(tmp_path: Path) -> Iterator[LoopbackLium]:
    """An account of Lium on this machine."""
    with LoopbackLium([Node(price_per_gpu=2.0)], machines=SshdPods(tmp_path / "pods")) as api:
        yield api


def test_the_first_flow_runs_as_the_tutorial_says(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "clone"
    for name in ("flows", "examples/bigram", "examples/shared"):
        ignored = shutil.ignore_patterns("__pycache__", "known_hosts")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("Makefile", "conftest.py", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, root)
    write_config = root / "flows" / "workflow.env"
    # one row of the three shows the same
    write_config.write_text(f"{write_config.read_text()}SWEEP_MATCH=bigram-lr-03\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    commit_all(root, "The clone")
    (root / ".venv").symlink_to(sys.prefix)
    project = Project(root, environment.clean_environ(home))
    shown = Guide(project, tmp_path).follow("tutorial/first-flow")
    assert "bigram-lr-03" in shown
    assert "plan: 11 phases" in shown


def test_a_trainer_is_taken_from_this_machine_to_a_pod_and_into_ci(
    tmp_path: Path, home: Path, sshd: Sshd
) -> None:
    root = tmp_path / "lm"
    root.mkdir()
    project = Project(root, environment.clean_environ(home))
    guide = Guide(project, tmp_path / "mnt")
    trained = guide.follow("tutorial/your-trainer")
    assert "ready" in trained
    assert "lr-03" in trained.rpartition("rank")[2]

    (home / ".ssh" / "config").write_text(
        f"Host my-pod\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.identity_file}\n"
    )
    (home / ".ssh" / "known_hosts").write_text(f"[{sshd.host}]:{sshd.port} {sshd.host_key}\n")
    project.configure(REMOTE_ENV_PATH=str(tmp_path / "mnt" / "project.env"))
    (tmp_path / "mnt").mkdir()
    on_pod = guide.follow("tutorial/your-pod")
    assert "resolved_target=my-pod" in on_pod
    assert (tmp_path / "mnt" / "outputs" / "lr-01" / "summary.json").exists()
    assert "PHASE=P99 STATUS=ok" in guide.follow("tutorial/ci")


def test_a_pod_is_rented_and_given_back(
    tmp_path: Path, home: Path, account: LoopbackLium, new_project: Callable[..., Any]
) -> None:
    key = home / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    root = write_project(tmp_path / "lm", config={"SSH_IDENTITY_FILE": str(key)})
    environ = {**environment.clean_environ(home), **account.environ()}
    project = Project(root, environ)
    project.configure(REMOTE_ENV_PATH=str(tmp_path / "mnt" / "project.env"))
    rented = Guide(project, tmp_path / "mnt").follow("tutorial/rented-pod")
    assert "PHASE=P90 STATUS=ok" in rented
    assert account.account.most_billed == 1
    assert account.account.billed() == []
