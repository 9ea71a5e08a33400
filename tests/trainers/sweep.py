"""A sweep of one of the examples, whose rows are trained by the real library.

Three rows: one fails, one is killed at its second checkpoint and goes on from it, one is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pytest_wf.report.curves import read_metrics
from pytest_wf.testing import commit_all
from tests.support import ROOT, environment
from tests.support.flow_project import Project
from tests.support.waiting import until

HEADER = "run_id,config,seed,overrides,notes"
_DEADLINE_S = 240


class Row(NamedTuple):
    """What a flow left of one row."""

    summary: Mapping[str, Any]
    folder: Path

    def curve(self, metric: str) -> list[tuple[float, float]]:
        """The points of a metric's curve, each a step and a value."""
        raw = (self.folder / "metrics.jsonl").read_bytes()
        read = read_metrics(raw, most_points=10_000, sources=self.summary["sources"])
        return list(zip(read.curves[metric].x, read.curves[metric].y, strict=True))

    def last(self, metric: str) -> float:
        """The last value of a metric."""
        value: float = self.summary["metrics"][metric]
        return value

    def least(self, metric: str) -> float:
        """The least value of a metric."""
        value: float = self.summary["extremes"][metric]["min"]
        return value

    def greatest(self, metric: str) -> float:
        """The greatest value of a metric."""
        value: float = self.summary["extremes"][metric]["max"]
        return value

    @property
    def resumed_at(self) -> int:
        """The step in the name of the checkpoint that it went on from."""
        number = re.search(r"\d+", Path(self.summary["resumed_from"]).name)
        assert number, self.summary
        return int(number[0])

    def has(self, pattern: str) -> bool:
        """Whether files that match were fetched."""
        return any(self.folder.glob(pattern))


class Sweep:
    """The project of an example, and the sweep that is run in it.

    The trainer is called as `wf init` proposes, with `words` in addition. `checkpoints` matches
    what is in `out` once a checkpoint is written: of a folder, its last file.
    """

    def __init__(self, example: str, base: Path, checkpoints: str, words: str = "") -> None:
        self._checkpoints = checkpoints
        root = base / "project"
        shutil.copytree(ROOT / "examples" / example, root)
        self.project = Project(root, environment.clean_environ(base / "home"))
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        made = self.project.wf("init")
        assert made.returncode == 0, made.stderr
        self.project.configure(
            REMOTE_PYTHON_BIN=os.environ["WF_TEST_TRAINERS_PYTHON"],
            WF_FLOW_WAIT_INTERVAL_SECS="1",
            RUN_RETRY_ON="killed",
            CHECKOUT_INSTALL_CMD="",  # the image has what they need
        )
        config = (root / "flows" / "workflow.env").read_text()
        proposed = re.search(r"(?m)^TRAIN_COMMAND_TEMPLATE='launch (.*) \"\$@\"'$", config)
        assert proposed, config
        # threads that share a core with other tests' wait for each other
        command = f'OMP_NUM_THREADS=1 launch {proposed[1]} {words} "$@"'
        self.project.configure(TRAIN_COMMAND_TEMPLATE=f"'{command}'")

    def run(self, fails: str, trains: str) -> None:
        """Run the sweep; `fails` and `trains` are the cells of rows behind the run_id."""
        rows = [f"fails,{fails},", f"killed,{trains},", f"whole,{trains},"]
        (self.project.root / "flows" / "sweep.csv").write_text("\n".join([HEADER, *rows, ""]))
        commit_all(self.project.root, "A sweep")
        self.flown = self.project.start("--wf-wait=true", "--wf-fetch=all")
        # stopped at each of them, so that its runner sees it however quick it is
        self._stop_at_checkpoint(1)
        until(lambda: self._status_on_pod()["progress"].get("step"), "a step")
        self._signal(signal.SIGCONT)
        self._stop_at_checkpoint(2)
        until(lambda: self._status_on_pod()["live"].get("steps_per_s"), "a rate")
        said = json.loads(self.project.wf("sweep-status", "--json").stdout)
        #: What `wf sweep-status` says of the row then.
        self.live: dict[str, Any] = {row["run_id"]: row for row in said["rows"]}["killed"]
        self._signal(signal.SIGKILL)
        self.flown.output, _ = self.flown.process.communicate(timeout=_DEADLINE_S)
        assert self.flown.code == 1, self.flown.output
        phases = self.flown.record("flow.summary")["phases"]
        assert {phase["court"] for phase in phases} == {"pass"}
        ended_well = {name: self.row(name).summary["ok"] for name in ("fails", "killed", "whole")}
        assert ended_well == {"fails": False, "killed": True, "whole": True}
        assert self.row("killed").summary["attempts"] == 2
        assert (self._killed / self.row("killed").summary["resumed_from"]).exists()

    def row(self, run_id: str) -> Row:
        """What is here of a row."""
        folder = self.project.root / "reports" / "runs" / run_id
        return Row(json.loads((folder / "summary.json").read_text()), folder)

    @property
    def _killed(self) -> Path:
        return self.project.outputs / "killed"

    def _status_on_pod(self) -> dict[str, dict[str, Any]]:
        status = json.loads((self._killed / "status.json").read_text())
        return {name: status.get(name) or {} for name in ("progress", "live")}

    def _stop_at_checkpoint(self, count: int) -> None:
        def is_there() -> bool:
            assert self.flown.process.poll() is None, self.flown.wait().output
            return len(list(self._killed.glob(f"out/{self._checkpoints}"))) >= count

        until(is_there, f"{count} checkpoints", _DEADLINE_S)
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        """Send a signal to the trainer's processes: those that know its `out`."""
        marked = b"\0TRAIN_OUT_DIR=" + os.fsencode(self._killed / "out") + b"\0"
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if marked in b"\0" + path.read_bytes():
                    os.kill(int(path.parent.name), number)
