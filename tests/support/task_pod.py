"""A pod that is ready, and the requests that tasks need."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.tasks import task_dir
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import ids
from tests.support.waiting import until


def refusal(kind: str) -> Any:
    """Expects the agent to refuse with `kind`."""
    return pytest.raises(OperationFailed, check=lambda e: e.kind == kind)


class TaskPod:
    """A pod that is ready, and the requests that tasks need."""

    def __init__(self, client: AgentClient, values: dict[str, str]) -> None:
        self.client = client
        self.settings = Settings(values)
        self.socket = ids.tmux_socket(self.settings.outputs)

    def run(self, id: str, command: str, **args: Any) -> dict[str, Any]:
        """Start a task."""
        return self.client.request("task-run", {"id": id, "command": command, **args})

    def status(self, id: str, **args: Any) -> dict[str, Any]:
        """A task's status."""
        return self.client.request("task-status", {"id": id, **args})

    def wait(self, id: str) -> dict[str, Any]:
        """A task's status once it is over."""

        def over() -> dict[str, Any] | None:
            found = self.status(id)
            return None if found["state"] in ("pending", "running") else found

        found: dict[str, Any] = until(over, f"task {id} is over")
        return found

    def done(self, id: str, command: str, **args: Any) -> dict[str, Any]:
        """Run a task to its end."""
        self.run(id, command, **args)
        return self.wait(id)

    def stop(self, id: str) -> dict[str, Any]:
        """Stop a task."""
        return self.client.request("task-stop", {"id": id})

    def file(self, id: str, name: str) -> Path:
        """A file of a task."""
        return Path(self.settings.task_dir(id), name)

    def log(self, id: str) -> str:
        """A task's log, as the agent gives it."""
        answer = self.client.request("log", {"task_id": id, "offset": 0, "max_bytes": 1 << 20})
        return base64.b64decode(answer["data"]).decode()

    def holders(self, id: str) -> set[int]:
        """Living processes of a task."""
        return process.holders(json.loads(self.file(id, "task.json").read_text())["cookie"])

    def kill_runner(self, id: str) -> None:
        """kill -9 for the runner; its command goes on."""
        known = task_dir.runner_of(self.settings.task_dir(id))
        assert known is not None
        os.kill(known["pid"], signal.SIGKILL)
        until(lambda: not process.is_alive(known), "the runner is gone")

    def windows(self) -> list[str]:
        """Names of the windows in the tmux session of tasks."""
        listed = subprocess.run(
            ["tmux", "-L", self.socket, "list-windows", "-t", "=wf", "-F", "#{window_name}"],
            capture_output=True,
            text=True,
        )
        return listed.stdout.split()

    def tmux(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run tmux on the pod's own server."""
        return subprocess.run(["tmux", "-L", self.socket, *words], capture_output=True, text=True)
