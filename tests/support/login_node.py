"""The agent on the login node of a real Slurm, in this process."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server.operations import OPERATIONS
from tests.support.agent_pod import config_values
from tests.support.sweep_pod import SweepPod, ready_pod

if TYPE_CHECKING:
    from pytest_wf.pods.rpc.client import AgentClient


class AgentHere:
    """The agent's operations in this process, in place of a client's connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.token: int | None = None

    def request(self, op: str, args: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        """Do one operation."""
        session = Session(self.settings, uuid.uuid4().hex, self.token, lambda body: None)
        return OPERATIONS[op](session, args or {})


def login_node(place: Path, **more: str) -> SweepPod:
    """A login node in CHECKED_OUT, its folders below `place`, of the cluster of `SLURM_CONF`."""
    values = {
        **config_values(place / "outputs", place),
        "APT_PACKAGES": "",
        "NPROC_PER_NODE": "1",
        "REMOTE_PYTHON_BIN": "python3",
        "REQUIRE_GPU_TORCH": "0",
        "RUN_HEARTBEAT_SECS": "0",
        "RUN_KILL_GRACE_SECS": "1",
        "RUN_LINGER_SECS": "1",
        "RUN_RETRIES": "1",
        "RUN_RETRY_ON": "nccl preempted stalled",
        "RUN_TIMEOUT_SECS": "0",
        "SWEEP_FAIL_FAST": "0",
        "SWEEP_TMUX_SESSION": "sweeps",
        "SWEEP_WANDB": "0",
        "TRAIN_COMMAND_TEMPLATE": "",
        "TRAIN_ENTRYPOINT": "train.py",
        "TRAIN_LAUNCHER": "python",
        "TRAIN_WORKDIR_REL": "train",
        "WF_ENGINE": "slurm",
        "WF_FSM_ENFORCE": "1",
        **more,
    }
    agent = cast("AgentClient", AgentHere(Settings(values)))
    return ready_pod(agent, values)
