"""Accelerate, with W&B as its tracker: the example `accelerate`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest

from tests.trainers.sweep import Sweep

pytestmark = [pytest.mark.trainers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_of_accelerate(new_sweep: Callable[..., Sweep]) -> None:
    sweep = new_sweep("accelerate", checkpoints="step_*/random_states_0.pkl")
    sweep.run(fails=",1,--learning_rate fast", trains=",1,--with_tracking")
    assert "--learning_rate" in sweep.row("fails").summary["reason"]
    assert sweep.live["progress"]["step"] >= 100
    assert sweep.live["live"]["steps"] == 400

    whole, killed = sweep.row("whole"), sweep.row("killed")
    printed = re.findall(r"epoch (\d): (\{.*?\})", (whole.folder / "stdout.log").read_text())
    points = [ast.literal_eval(values)["eval_loss"] for _, values in printed]
    assert len(points) == 8
    assert [value for _, value in whole.curve("eval_loss")] == points
    assert whole.curve("eval_loss")[-1][0] == 400
    assert whole.last("eval_loss") == points[-1]
    assert whole.least("eval_loss") == min(points)

    # the order of its data is not in the checkpoint: another result, at the same steps
    assert killed.curve("eval_loss")[0][0] > killed.resumed_at >= 100
    assert killed.curve("eval_loss")[-1][0] == 400
    assert not whole.has("out/step_*")
    assert whole.has("out/final/model.safetensors")
    assert whole.has("trackers/wandb/offline-run-*/run-*.wandb")
