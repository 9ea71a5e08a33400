"""A pod with a checkout whose trainer is a few lines of Python, and sweeps over it."""

from __future__ import annotations

import base64
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_wf.agent import process
from pytest_wf.agent.control import frozen_campaign
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from pytest_wf.wire.files import read_json
from pytest_wf.wire.rows import Row
from tests.support.agent_pod import OWNER
from tests.support.waiting import until

SHA = "a" * 40


CAMPAIGN = "c-20260102T030405Z-abcdef"


def freeze_campaign(settings: Settings, rows: list[Row], /, **more: Any) -> Campaign:
    """A campaign of `rows` as its start leaves it, with no supervisor."""
    campaign = Campaign(
        campaign_id=CAMPAIGN,
        created_at="2026-01-02T03:04:05Z",
        flow_id="f",
        request_id="r",
        git_sha="a" * 40,
        dry_run=False,
        manifest_sha256="0" * 64,
        manifest_path="/nowhere",
        settings=settings,
        rows=rows,
    )._replace(**more)
    Path(campaign.folder).mkdir(parents=True)
    campaign.save()
    campaign.make_latest()
    return campaign


def make_row(run_id: str, overrides: str = "", **more: Any) -> dict[str, Any]:
    """A manifest row as the controller sends it."""
    known: dict[str, Any] = {
        "index": 0,
        "run_id": run_id,
        "config": "config/a.py",
        "seed": 1,
        "overrides": overrides,
        "argv": shlex.split(overrides),
        "notes": "",
        "timeout_s": None,
        "gpus": None,
        "retries": None,
        "expect": "",
    }
    return {**known, **more}


class SweepPod:
    """A pod in CHECKED_OUT, and the requests that a sweep needs."""

    def __init__(self, client: AgentClient, values: dict[str, str]) -> None:
        self.client = client
        self.settings = Settings(values)
        self.outputs = Path(self.settings.outputs)
        self.repo = Path(self.settings.repo)

    def trainer(self, text: str) -> None:
        """Let `text` be the training script; it has its `out` and the pod's `outputs`."""
        (self.repo / "train" / "train.py").write_text(
            "import os, sys, time, json, pathlib\nout = pathlib.Path(os.environ['TRAIN_OUT_DIR'])\n"
            f"outputs = pathlib.Path({str(self.outputs)!r})\n" + text
        )

    def take_lease(self, **owner: Any) -> None:
        """Let the client hold the pod."""
        args = {"owner": {**OWNER, **owner}, "ttl_s": 3600}
        self.client.token = self.client.request("lease-take", args)["token"]

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file in the outputs directory."""
        found = read_json(str(self.outputs / name))
        assert isinstance(found, dict)
        return found

    def start(self, *rows: dict[str, Any], **args: Any) -> dict[str, Any]:
        """Start a campaign of `rows`."""
        return self.client.request("campaign-start", self._start_args(rows, args))

    def smoke(self, *rows: dict[str, Any], **args: Any) -> dict[str, Any]:
        """Do the smoke run of a start of `rows`."""
        return self.client.request("smoke", self._start_args(rows, args), timeout_s=200)

    def _start_args(self, rows: Sequence[dict[str, Any]], args: dict[str, Any]) -> dict[str, Any]:
        numbered = [{**r, "index": place} for place, r in enumerate(rows)]
        csv = "run_id\n" + "".join(f"{r['run_id']}\n" for r in rows)
        known: dict[str, Any] = {
            "flow_id": "f-1",
            "rows": numbered,
            "manifest_csv": base64.b64encode(csv.encode()).decode(),
            "git_sha": SHA,
            "dry_run": False,
            "secrets": {},
        }
        return {**known, **args}

    def resume(self, **secrets: str) -> dict[str, Any]:
        """Resume the latest campaign."""
        return self.client.request("campaign-resume", {"flow_id": "f-2", "secrets": secrets})

    def resume_with(self, **args: Any) -> dict[str, Any]:
        """Resume the latest campaign with `args` of the operation."""
        known: dict[str, Any] = {"flow_id": "f-2", "secrets": {}}
        return self.client.request("campaign-resume", {**known, **args})

    def states(self) -> dict[str, str]:
        """The state of every row, once the supervisor has ended."""
        return {row["run_id"]: row["state"] for row in self.ended()["rows"]}

    def status(self, **args: Any) -> dict[str, Any]:
        """The campaign's status."""
        return self.client.request("campaign", args)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The status of every row by its id."""
        return {r["run_id"]: r for r in self.status()["rows"]}

    def ended(self) -> dict[str, Any]:
        """The status once the supervisor has ended."""

        def over() -> dict[str, Any] | None:
            status = self.status()
            return None if status["supervisor"] == "alive" else status

        # the rows of some tests take half a minute where nothing else runs
        found = until(over, "the supervisor has ended", 200)
        assert isinstance(found, dict)
        return found

    def run_to_end(self, *rows: dict[str, Any], **args: Any) -> dict[str, dict[str, Any]]:
        """Start `rows`, wait for the end, and give the rows by id."""
        self.start(*rows, **args)
        return {r["run_id"]: r for r in self.ended()["rows"]}

    def log(self, run_id: str, attempt: int | None = None) -> str:
        """All of a run's log."""
        args: dict[str, Any] = {"run_id": run_id, "offset": 0, "max_bytes": 1 << 20}
        if attempt is not None:
            args["attempt"] = attempt
        return base64.b64decode(self.client.request("log", args)["data"]).decode()

    def summary(self, run_id: str) -> dict[str, Any]:
        """A run's summary.json."""
        found = read_json(str(self.outputs / run_id / "summary.json"))
        assert isinstance(found, dict)
        return found

    def wait_for_file(self, name: str) -> Path:
        """A file in the outputs directory, once it is there."""
        path = self.outputs / name
        until(path.exists, name)
        return path

    @contextmanager
    def stopped_runner(self, run_id: str) -> Iterator[None]:
        """Meanwhile the runner of a row at work is stopped, and no time-out of the row strikes."""
        status = self.wait_for_file(f"{run_id}/attempts/1/status.json")
        until(lambda: read_json(str(status))["pid"], f"the trainer of {run_id} has started")
        runner = self.read(f"{run_id}/attempts/1/pid.json")["pid"]
        os.kill(runner, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(runner, signal.SIGCONT)

    def supervisor(self) -> dict[str, Any]:
        """The latest campaign's supervisor.json."""
        return frozen_campaign.supervisor_of(frozen_campaign.find(self.settings))

    def kill_supervisor(self) -> bool:
        """kill -9, and wait until it is gone; False where it had ended by itself."""
        known = self.supervisor()
        if not process.is_alive(known):
            return False
        try:
            os.kill(known["pid"], signal.SIGKILL)
        except ProcessLookupError:
            return False
        until(lambda: not process.is_alive(known), "the supervisor is gone")
        return True

    def cookie_holders(self, run_id: str, attempt: int = 1) -> set[int]:
        """Living processes of an attempt."""
        campaign = frozen_campaign.find(self.settings)
        rows = {r.run_id: r for r in campaign.rows}
        return process.holders(RowDir(campaign, rows[run_id]).cookie(attempt))


def ready_pod(client: AgentClient, values: dict[str, str]) -> SweepPod:
    """A pod in CHECKED_OUT, whose lease `client` has."""
    pod = SweepPod(client, values)
    (pod.repo / "train" / "config").mkdir(parents=True)
    (pod.repo / "train" / "config" / "a.py").write_text("")
    (pod.repo / ".venv" / "bin").mkdir(parents=True)
    (pod.repo / ".venv" / "bin" / "python").symlink_to(sys.executable)
    pod.trainer("print('trained')\n")
    pod.take_lease()
    client.request("config-sync")
    client.request("fsm-reset", {"state": fsm.CHECKED_OUT, "reason": "test"})
    return pod
