"""Real servers for every room of the suite; each ends only what it started."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from pytest_wf.agent import process
from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.debian import RELEASES, DebianHost
from tests.support.environment import BYTECODE, PATH, WITHOUT_TEST_PLUGINS, is_worked_on
from tests.support.flow_project import Project
from tests.support.letterbox import Letterbox
from tests.support.sshd import Sshd
from tests.support.wire import Wire

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.update(BYTECODE, PATH=PATH)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# a test that needs another terminal, or a CI service, says so itself
os.environ["TERM"] = "xterm"
for _name in ("CI", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)
# how long an example takes says something about the machine alone; the examples are the same in
# each run of the suite, and `make test-long` searches with others
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("suite")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a suite that a script started with `&` ignores Ctrl-C, and so would all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def without_test_plugins() -> Iterator[None]:
    """Let flows that inherit this environment start without our tests' own plugins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", WITHOUT_TEST_PLUGINS)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_child_unreaped() -> Iterator[None]:
    """Reap what an agent in this process started and nothing has asked about since it ended.

    Python warns of such a process at its exit, where no test can be named.
    """
    yield
    process.reap()


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """`pytester`, which removes PYTEST_ADDOPTS, with it set again."""
    monkeypatch.setenv("PYTEST_ADDOPTS", WITHOUT_TEST_PLUGINS)
    return pytester


@pytest.fixture(scope="session")
def make_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sshd]]:
    """Makes further SSH servers; takes extra lines for the server's configuration."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    made: list[Sshd] = []

    def make(settings: str = "") -> Sshd:
        made.append(Sshd(tmp_path_factory.mktemp("sshd"), settings))
        return made[-1]

    yield make
    for server in made:
        if server._process is not None:
            server.cut_sessions()
        server.stop()


@pytest.fixture(scope="module")
def sshd(make_sshd: Callable[..., Sshd]) -> Sshd:
    """An SSH server for the tests of one module."""
    return make_sshd()


@pytest.fixture
def clean_environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a flow: a home of its own, and nothing of this test run's."""
    return environment.clean_environ(tmp_path / "home")


@pytest.fixture
def new_project(tmp_path: Path, clean_environ: dict[str, str]) -> Iterator[Callable[..., Project]]:
    """A factory of projects; what still runs on their pods is stopped at the end."""
    made: list[Project] = []

    def new(**kwargs: Any) -> Project:
        root = tmp_path / f"project{len(made)}"
        root.mkdir()
        project = Project(write_project(root, **kwargs), clean_environ)
        made.append(project)
        return project

    yield new
    for project in made:
        for run in project.runs:
            if run.process.poll() is None:
                run.kill()
        if (project.outputs / "_control").exists() and is_worked_on(project.root, project.outputs):
            project.wf("sweep-stop")


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """A project with two quick rows."""
    return new_project()


@pytest.fixture
def over_ssh(sshd: Sshd, tmp_path: Path) -> Callable[..., Project]:
    """Points a project at the test's own SSH server, with folders of its own as the pod; with a
    `wire` it is reached over that."""

    def point(project: Project, wire: Wire | None = None) -> Project:
        pod = tmp_path / f"pod-of-{project.root.name}"
        pod.mkdir()
        project.outputs = pod / "outputs"
        port, known = sshd.port, sshd.known_hosts_file
        if wire is not None:
            port, known = wire.port, pod.with_name(f"{pod.name}-known-hosts")
            known.write_text(f"[{sshd.host}]:{port} {sshd.host_key}\n")
        project.configure(
            OPS_DEFAULT_HOST=f"{sshd.user}@{sshd.host}:{port}",
            SSH_IDENTITY_FILE=str(sshd.identity_file),
            SSH_KNOWN_HOSTS=str(known),
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
            REMOTE_ENV_PATH=str(pod / "project.env"),
        )
        return project

    return point


@pytest.fixture
def wire(sshd: Sshd) -> Iterator[Wire]:
    """A way to the test's SSH server that can be cut, become silent, and be mended."""
    made = Wire(sshd.port)
    yield made
    made.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, kept from looking up any name: one, as two cannot be driven at once."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        yield chromium
        chromium.close()


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory with `.ssh`, and no ssh agent."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips the test where this user may not mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def few_inodes(small_disk: Path) -> Path:
    """A file system that takes 300 files and folders."""
    subprocess.run(["mount", "-o", "remount,nr_inodes=300", str(small_disk)], check=True)
    return small_disk


@pytest.fixture(scope="session", autouse=True)
def no_dead_tmux_sockets() -> Iterator[None]:
    """Remove the sockets that tmux servers of pods of this run left: tmux never does."""
    began = time.time()
    yield
    for path in Path(f"/tmp/tmux-{os.getuid()}").glob("wf-*"):
        try:
            if path.is_socket() and path.stat().st_mtime >= began and not _answers(path):
                _remove_dead(path)
        except FileNotFoundError:
            pass  # another run was quicker


def _remove_dead(path: Path) -> None:
    """Remove a tmux server's socket if it is dead: one that begins has it before it listens.

    tmux holds this lock from before the socket exists until the server listens.
    """
    lock = Path(f"{path}.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not _answers(path):
            path.unlink()
        lock.unlink()


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        return sock.connect_ex(str(path)) != errno.ECONNREFUSED


@pytest.fixture(scope="module", params=RELEASES)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DebianHost]:
    """A host of each other Debian release."""
    made = DebianHost(request.param, tmp_path_factory.mktemp("debian"))
    yield made
    made.close()


@pytest.fixture
def letterbox() -> Iterator[Letterbox]:
    """A service that takes notifications, on 127.0.0.1."""
    box = Letterbox()
    yield box
    box.close()
