"""A run on a pod of this machine, to be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_wf.config.keys import KEYS
from pytest_wf.fetch.fetch import FetchOptions, RunFetched, fetch_runs
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values

CAMPAIGN = "c-20260102T030405Z-abcdef"
PATTERNS = next(key.default for key in KEYS if key.name == "CHECKPOINT_PATTERNS").split()


class RunOnPod:
    """Run a in the outputs directory of a real agent."""

    def __init__(self, root: Path) -> None:
        outputs = root / "pod" / "outputs"
        #: Its directory on the pod, and the trainer's own folder in it.
        self.folder = outputs / "a"
        self.out = self.folder / "out"
        self.out.mkdir(parents=True)
        (self.folder / "summary.json").write_text("{}")
        #: Where it is fetched to.
        self.here = root / "here" / "a"
        self._connection = LocalConnection(Target("local", "local"))
        self.client = AgentClient(self._connection, config_values(outputs, root / "pod"))

    def write(self, path: str, data: bytes = b"data") -> Path:
        """A file of the trainer, with the folders that it needs."""
        file = self.out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def fetch(self, *run_ids: str, **more: Any) -> dict[str, RunFetched]:
        """The runs as they are fetched."""
        known: dict[str, Any] = {
            "campaign_id": CAMPAIGN,
            "checkpoint_patterns": PATTERNS,
            **more,
        }
        return fetch_runs(self.client, run_ids, FetchOptions(self.here.parent, **known)).runs

    def bring(self, **more: Any) -> RunFetched:
        """Run a as it is fetched."""
        return self.fetch("a", **more)["a"]

    def close(self) -> None:
        """End the agent."""
        self.client.close()
        self._connection.close()
