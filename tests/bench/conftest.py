"""What the benchmarks share: a project to run, and tables. Times are shown, never asserted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

from pytest_wf.testing import write_project
from tests.support.environment import clean_environ
from tests.support.sshd import Sshd

#: In the project: counts what crosses the link, and refuses any socket where told to.
_CONFTEST = """\
import os, sys
from pathlib import Path


def _refuse(event, args):
    if event.startswith("socket."):
        raise SystemExit("a socket was opened: " + event)


if os.environ.get("BENCH_NO_SOCKETS"):
    sys.addaudithook(_refuse)


def pytest_unconfigure(config):
    phases = config.pluginmanager.get_plugin("wf-phases")
    if phases is not None:
        Path("round_trips").write_text(str(phases.flow.state.session.round_trips))
"""


class Bench:
    """A project in a folder of its own, as its user runs it."""

    def __init__(self, root: Path, rows: Sequence[str]) -> None:
        self.root = write_project(root, rows=rows, config={"SWEEP_FORCE": "1"})
        (root / "conftest.py").write_text(_CONFTEST)
        self._home = root.parent / f"home-of-{root.name}"

    def use_pod(self, sshd: Sshd, pod: Path) -> None:
        """Point the project at an SSH server, with `pod` as the machine's own folder."""
        pod.mkdir()
        keys = {
            "OPS_DEFAULT_HOST": f"{sshd.user}@{sshd.host}:{sshd.port}",
            "SSH_IDENTITY_FILE": str(sshd.identity_file),
            "SSH_KNOWN_HOSTS": str(sshd.known_hosts_file),
            "OPS_REMOTE_REPO": str(pod / "repo"),
            "OPS_REMOTE_OUTPUTS_DIR": str(pod / "outputs"),
            "REMOTE_ENV_PATH": str(pod / "project.env"),
        }
        path = self.root / "flows" / "workflow.env"
        lines = [x for x in path.read_text().splitlines() if x.partition("=")[0] not in keys]
        path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))

    def pytest(self, *words: str, **environ: str) -> float:
        """Run ``pytest flows/ --wf-flow`` to a good end; its wall time in seconds."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "flows/", "--wf-flow", *words],
            cwd=self.root,
            env={**clean_environ(self._home), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
        )
        spent_s = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout
        return spent_s

    @property
    def round_trips(self) -> int:
        """Requests of the last flow that an agent answered."""
        return int((self.root / "round_trips").read_text())


class Spread(NamedTuple):
    """Several measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f}-{max(self.values):.2f})"


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Makes projects with the given rows."""

    def new(rows: Sequence[str]) -> Bench:
        root = tmp_path / f"project-{len(rows)}"
        root.mkdir()
        return Bench(root, rows)

    return new


@pytest.fixture
def spread() -> type[Spread]:
    """Median and range of several measurements."""
    return Spread


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str, Sequence[Sequence[str]]], None]:
    """Prints a table, its first column to the left, all others to the right."""

    def table(title: str, lines: Sequence[Sequence[str]]) -> None:
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        with capsys.disabled():
            print(f"\n\n{title} (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
            for first, *rest in lines:
                cells = [cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]
                print("  " + "   ".join([first.ljust(widths[0]), *cells]))

    return table
