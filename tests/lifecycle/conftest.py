"""Whole flows on real pods: each test gets a project of its own and runs real pytest in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import write_project
from tests.support import environment

_DEADLINE_S = 120


class FlowRun:
    """One `pytest flows/ --wf-flow` in a project: started, waited for, looked at."""

    def __init__(self, root: Path, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "flows/", "--wf-flow", *words],
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.output = ""

    def wait(self) -> FlowRun:
        """Wait for its end; the output is kept."""
        self.output += self.process.communicate(timeout=_DEADLINE_S)[0]
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.wait()

    @property
    def code(self) -> int:
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def folder(self) -> Path:
        """The evidence of the newest flow."""
        return max((self.root / "reports" / "flows").iterdir(), key=lambda p: p.stat().st_mtime)

    def record(self, name: str) -> dict[str, Any]:
        """A record of the flow, such as 'flow.summary' or 'phase.P40.verdict'."""
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    def line(self, beginning: str) -> str:
        """The first line of the output that begins so."""
        return next(line for line in self.output.splitlines() if line.startswith(beginning))


class Project:
    """A project in a folder of its own, and the flows that were run in it."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ
        self.outputs = root / ".wf" / "pod" / "outputs"
        self.runs: list[FlowRun] = []

    def start(self, *words: str) -> FlowRun:
        """Start a flow and come back."""
        run = FlowRun(self.root, words, self.environ)
        self.runs.append(run)
        return run

    def flow(self, *words: str) -> FlowRun:
        """Run a flow to its end."""
        return self.start(*words).wait()

    def wf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a `wf` command in the project."""
        return subprocess.run(
            [sys.executable, "-c", "from pytest_wf.cli.main import main; main()", *words],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
        )

    def configure(self, **keys: str) -> None:
        """Set keys in flows/workflow.env."""
        path = self.root / "flows" / "workflow.env"
        lines = [
            line for line in path.read_text().splitlines() if line.partition("=")[0] not in keys
        ]
        path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))

    def phase(self, code: str, body: str, name: str = "mine") -> None:
        """Add a phase of the user's own with `body` as its code."""
        indented = "\n".join("    " + line for line in body.splitlines())
        (self.root / "flows" / f"test_{name}.py").write_text(
            "import pytest\n\n\n"
            f"@pytest.mark.phase({code!r}, command={name!r})\n"
            f"def test_{name}(wf_flow, wf_config, request):\n"
            f'    """A phase of the test."""\n{indented}\n'
        )


@pytest.fixture
def clean_environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a flow: a home of its own, and nothing of this test run's."""
    return environment.clean_environ(tmp_path / "home")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, FlowRun]:
    """A project with a signing key (`key.pem`), and a flow in it that fetched its results."""
    base = tmp_path_factory.mktemp("signed")
    (base / "project").mkdir()
    project = Project(write_project(base / "project"), environment.clean_environ(base / "home"))
    made = project.wf("keygen", "key.pem")
    assert made.returncode == 0, made.stderr
    project.configure(WF_SIGNING_KEY_FILE="key.pem")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    return project, flown


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
        if (project.outputs / "_control").exists():
            project.wf("sweep-stop")


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """A project with two quick rows."""
    return new_project()


@pytest.fixture
def over_ssh(sshd: Any, tmp_path: Path) -> Callable[[Project], Project]:
    """Points a project at the test's own SSH server, with folders of its own as the pod."""

    def point(project: Project) -> Project:
        pod = tmp_path / f"pod-of-{project.root.name}"
        pod.mkdir()
        project.outputs = pod / "outputs"
        project.configure(
            OPS_DEFAULT_HOST=f"{sshd.user}@{sshd.host}:{sshd.port}",
            SSH_IDENTITY_FILE=str(sshd.identity_file),
            SSH_KNOWN_HOSTS=str(sshd.known_hosts_file),
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
            REMOTE_ENV_PATH=str(pod / "project.env"),
        )
        return project

    return point
