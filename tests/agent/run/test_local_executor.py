"""Which GPUs of the pod an attempt gets, and when it has to wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import gpus
from pytest_wf.agent.run.executor import Share
from pytest_wf.agent.run.local_executor import LocalExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeExecutor = Callable[..., LocalExecutor]


@pytest.fixture
def executor_with(monkeypatch: pytest.MonkeyPatch) -> MakeExecutor:
    """``executor_with("0", "1")``: the executor of a pod with these GPUs."""

    def make(*names: str, source: str = "nvidia-smi") -> LocalExecutor:
        monkeypatch.setattr(gpus, "detect", lambda settings: gpus.Gpus(list(names), source))
        return LocalExecutor(Settings({}))

    return make


def test_an_attempt_gets_the_first_free_gpus_in_the_machines_order(
    executor_with: MakeExecutor,
) -> None:
    executor = executor_with("0", "1", "2")
    executor.poll([{"gpus": ["1"]}])
    assert executor.share(2) == Share(
        ["0", "2"], {"CUDA_VISIBLE_DEVICES": "0,2", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    )
    assert executor.share(3) is None
    executor.poll([])
    assert executor.share(0) == Share(["0", "1", "2"], {}), "all, so nothing hides any"


def test_without_gpus_one_attempt_runs_at_a_time(executor_with: MakeExecutor) -> None:
    executor = executor_with()
    assert executor.capacity() == 0
    assert executor.share(0) == executor.share(1) == Share([], {})
    executor.poll([{"gpus": []}])
    assert executor.share(0) is None


def test_an_attempt_whose_gpus_are_not_recorded_may_use_any(executor_with: MakeExecutor) -> None:
    executor = executor_with("0", "1", source="torch")
    executor.poll([{}])
    assert executor.share(1) is None
