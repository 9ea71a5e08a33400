"""Projects whose flows are measured, and the same work done by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_wf.testing import write_project
from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL
from tests.support.environment import clean_environ
from tests.support.sshd import Sshd

#: In the project: counts what crosses the link, notes when a row's case is reported, and refuses
#: any socket where the environment says so.
_CONFTEST = """\
import json, os, sys, time
from pathlib import Path
from typing import Any

reported = {}


def _refuse(event, args):
    if event.startswith("socket."):
        raise SystemExit("a socket was opened: " + event)


if os.environ.get("BENCH_NO_SOCKETS"):
    sys.addaudithook(_refuse)


def pytest_runtest_logreport(report):
    if report.when == "call" and "[" in report.nodeid:
        reported[report.nodeid.rpartition("[")[2][:-1]] = time.time()


def pytest_unconfigure(config):
    phases = config.pluginmanager.get_plugin("wf-phases")
    if phases is not None:
        sessions = [flow.state.session for flow in phases.fleet.flows]
        trips = sum(session.round_trips for session in sessions if session is not None)
        Path("measured.json").write_text(json.dumps({"round_trips": trips, "reported": reported}))
"""

#: Notes when its first line is run and when it ends.
TRAINER = """\
import time
began = time.time()
import json, os, sys

settings = dict(word.split("=", 1) for word in sys.argv[2:])
os.makedirs(settings["out_dir"], exist_ok=True)
print("step 0: loss 1.5", flush=True)
time.sleep(float(settings["sleep"]))
with open(os.path.join(settings["out_dir"], "times.json"), "w") as f:
    json.dump([began, time.time()], f)
"""

_TESTS_PLUGINS = ("hypothesispytest", "anyio", "pytest_cov")
WHOLE_FLOW = ("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=keep")


class Project:
    """A project in a folder of its own, as its user runs it; its processes are in `group`."""

    def __init__(
        self,
        root: Path,
        rows: Sequence[str],
        group: Group,
        trainer: str = TRAINER,
        config: Mapping[str, str] | None = None,
    ) -> None:
        root.mkdir(parents=True)
        keys = {"SWEEP_FORCE": "1", **(config or {})}
        self.root = write_project(root, rows=rows, config=keys, trainer=trainer)
        (root / "conftest.py").write_text(_CONFTEST)
        self.group = group
        self.environ = clean_environ(root.parent / f"home-of-{root.name}")
        self.output = ""

    def configure(self, keys: Mapping[str, str]) -> None:
        """Set keys in flows/workflow.env."""
        path = self.root / "flows" / "workflow.env"
        lines = [x for x in path.read_text().splitlines() if x.partition("=")[0] not in keys]
        path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))

    def use_pod(self, sshd: Sshd, pod: Path, port: int | None = None) -> None:
        """Point the project at an SSH server, with `pod` as the machine's own folder."""
        pod.mkdir()
        known_hosts = pod / "known_hosts"
        port = port or sshd.port
        known_hosts.write_text(f"[{sshd.host}]:{port} {sshd.host_key}\n")
        self.configure(
            {
                "OPS_DEFAULT_HOST": f"{sshd.user}@{sshd.host}:{port}",
                "SSH_IDENTITY_FILE": str(sshd.identity_file),
                "SSH_KNOWN_HOSTS": str(known_hosts),
                "OPS_REMOTE_REPO": str(pod / "repo"),
                "OPS_REMOTE_OUTPUTS_DIR": str(pod / "outputs"),
                "REMOTE_ENV_PATH": str(pod / "project.env"),
            }
        )

    def command(self, *words: str) -> list[str]:
        """``pytest flows/ --wf-flow`` with further words, in the group.

        Plugins that only our own tests need do not count: a user's environment has none of them.
        """
        without = [word for name in _TESTS_PLUGINS for word in ("-p", f"no:{name}")]
        pytest = [sys.executable, "-m", "pytest", *without]
        return [*self.group.inside, *pytest, "flows/", "--wf-flow", *words]

    def flow(self, *words: str) -> dict[str, float]:
        """Run a flow to a good end: its wall time, and the CPU time of both sides."""
        cost: dict[str, float] = {}
        with measured(self.group, cost):
            done = subprocess.run(
                self.command(*words),
                cwd=self.root,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=3600,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        self.output = done.stdout
        return cost

    def wf(self, *words: str) -> None:
        """Run a `wf` command, whatever comes of it."""
        call = "from pytest_wf.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-c", call, *words],
            cwd=self.root,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
        )

    @property
    def round_trips(self) -> int:
        """Requests of the last flow that agents answered."""
        return int(self._measured()["round_trips"])

    def reported_at(self, run_id: str) -> float:
        """When the case of a row was reported in the last flow, in seconds since the epoch."""
        return float(self._measured()["reported"][run_id])

    def trained(self, run_id: str) -> tuple[float, float]:
        """When a fetched row's trainer began and ended, in seconds since the epoch."""
        return trained(self.root / "reports" / "runs" / run_id / "out")

    def _measured(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "measured.json").read_text())
        return found


def trained(out: Path) -> tuple[float, float]:
    """When a trainer began and ended, by what it left in its folder."""
    began, ended = json.loads((out / "times.json").read_text())
    return began, ended


@contextmanager
def measured(group: Group, cost: dict[str, float]) -> Iterator[None]:
    """Put the wall time of the body, and the CPU time of the group meanwhile, into `cost`."""
    used, began = group.cpu_s(), time.perf_counter()
    yield
    cost[WALL] = time.perf_counter() - began
    cost[CPU] = group.cpu_s() - used
