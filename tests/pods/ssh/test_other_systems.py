"""Logins of other Debian releases: their OpenSSH, Python, git and shells, in a chroot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent_pod import made_ready
from tests.support.logins import LoggedIn, Login
from tests.support.repository import Upstream

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

# the first test of a release waits for its packages
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

_PACKAGES = "python3,git,openssh-server,zsh,fish,tcsh,procps"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pytest-wf")

#: Runs a command in the chroot $1, where the folder $2 is what it is here.
_INSIDE = (
    'mount -t tmpfs none "$1/tmp" && mkdir -p "$1$2" /run/sshd "$1/run/sshd" && '
    'mount --bind "$2" "$1$2" && mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && '
    'root=$1 && shift 2 && exec chroot "$root" "$@"'
)


@pytest.fixture(scope="module", params=["bullseye", "bookworm"])
def release(request: pytest.FixtureRequest) -> Path:
    """The root of a Debian release, unpacked once into a cache."""
    if os.geteuid() != 0 or not shutil.which("debootstrap", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("a chroot takes root and debootstrap")
    root = _CACHE / f"debian-{request.param}"
    if not root.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        fresh = root.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        options = ["--variant=minbase", f"--include={_PACKAGES}"]
        argv = ["debootstrap", *options, request.param, str(fresh)]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        fresh.rename(root)
    return root


@pytest.fixture
def log_in(
    release: Path, client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> Callable[..., LoggedIn]:
    """Makes logins in the release; takes what `Login` does."""

    def inside(settings: str) -> Sshd:
        server = make_sshd(settings)
        server.stop()
        words = [str(release), str(tmp_path.parent)]
        server.inside = ["unshare", "--mount", "sh", "-c", _INSIDE, "sh", *words]
        server.start()
        return server

    def make(**words: Any) -> LoggedIn:
        login = Login(tmp_path / "host", inside, **words)
        behind = type(client)(login.server, client._make, client.project)
        return LoggedIn(behind, tmp_path / "pod", login)

    return make


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish", "tcsh", "csh"])
def test_the_agent_starts_in_its_shells(log_in: Callable[..., LoggedIn], shell: str) -> None:
    start_up = "" if shell == "dash" else "echo welcome\n"
    logged_in = log_in(shell=shell, start_up=start_up)
    agent = made_ready(logged_in.agent())
    assert agent.request("state")["state"] == "POD_READY"
    agent.upload(str(logged_in.pod / "file"), __file__)
    logged_in.connection.close()


def test_its_git_trusts_the_repository_of_another_user(
    log_in: Callable[..., LoggedIn], tmp_path: Path
) -> None:
    upstream = Upstream(tmp_path / "repository")
    head = upstream.head
    subprocess.run(["chown", "-R", "54321", str(upstream.path)], check=True)
    logged_in = log_in()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pytest_wf.agent.setup.git import Repository\n"
        "from pytest_wf.agent.setup.logged_step import StepLog\n"
        "print(Repository(sys.argv[2], StepLog('/dev/null')).head())\n"
    )
    argv = ["python3", "-I", "-c", program, logged_in.agent().agent_path, str(upstream.path)]
    assert logged_in.connection.run(argv, timeout_s=60).stdout.strip() == head
    logged_in.connection.close()
