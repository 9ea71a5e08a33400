"""Pods that are ready for tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_wf.agent.tasks import task_dir
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.agent_pod import made_ready
from tests.support.task_pod import TaskPod


@pytest.fixture
def pod_of(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> Iterator[Callable[..., TaskPod]]:
    """Makes a pod in POD_READY: ``pod_of(TASK_TIMEOUT_SECS="1")``."""
    made: list[TaskPod] = []

    def make(**more: str) -> TaskPod:
        mine = {
            **values,
            "RUN_KILL_GRACE_SECS": "1",
            "TASK_TIMEOUT_SECS": "600",
            "WF_TMUX_SESSION": "wf",
            **more,
        }
        Path(mine["OPS_REMOTE_REPO"]).mkdir(parents=True)
        pod = TaskPod(connect(mine), mine)
        made_ready(pod.client)
        made.append(pod)
        return pod

    yield make
    for pod in made:
        pod.client.request("fsm-reset", {"state": fsm.POD_READY, "reason": "the test is over"})
        for task_id in task_dir.task_ids(pod.settings):
            pod.stop(task_id)
        pod.tmux("kill-server")
        Path(f"/tmp/tmux-{os.getuid()}/{pod.socket}").unlink(missing_ok=True)


@pytest.fixture
def pod(pod_of: Callable[..., TaskPod]) -> TaskPod:
    """A pod in POD_READY."""
    return pod_of()
