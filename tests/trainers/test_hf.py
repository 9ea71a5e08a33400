"""transformers' Trainer, the example `hf`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.trainers.sweep import Sweep

pytestmark = [pytest.mark.trainers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_of_transformers_trainer(new_sweep: Callable[..., Sweep]) -> None:
    sweep = new_sweep("hf", checkpoints="checkpoint-*/trainer_state.json")
    sweep.project.configure(CHECKOUT_INSTALL_CMD="'pip install -r requirements.txt'")
    sweep.run(fails=",1,--train_file missing.txt", trains=",1,--report_to tensorboard")
    assert sweep.row("fails").summary["failure_class"] == "data"
    assert "missing.txt" in sweep.row("fails").summary["reason"]
    assert sweep.live["progress"]["step"] >= 50
    assert sweep.live["live"]["steps"] == 200

    whole, killed = sweep.row("whole"), sweep.row("killed")
    history = json.loads((whole.folder / "out" / "trainer_state.json").read_text())["log_history"]
    for metric, points in (("loss", 20), ("eval_loss", 4)):
        recorded = [(entry["step"], entry[metric]) for entry in history if metric in entry]
        assert len(recorded) == points
        assert whole.curve(metric) == recorded
        assert whole.least(metric) == min(value for _, value in recorded)
        assert whole.summary["sources"][metric] == "trainer_state.json"
    results = json.loads((whole.folder / "out" / "all_results.json").read_text())
    assert whole.last("eval_loss") == results["eval_loss"]
    assert whole.last("train_loss") == results["train_loss"]

    # Adam's state, the order of the data and the random numbers come from the checkpoint
    assert killed.last("eval_loss") == whole.last("eval_loss")
    assert killed.curve("eval_loss") == whole.curve("eval_loss")
    assert not whole.has("out/checkpoint-*")
    assert whole.has("trackers/tensorboard/**/events.out.tfevents.*")
