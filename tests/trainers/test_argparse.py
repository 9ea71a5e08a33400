"""Plain torch with argparse, the example `argparse`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.trainers.sweep import Sweep

pytestmark = [pytest.mark.trainers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_of_plain_torch(new_sweep: Callable[..., Sweep]) -> None:
    sweep = new_sweep("argparse", checkpoints="ckpt_epoch*.pt")
    sweep.run(fails=",1,--width 0 --noise x", trains=",1,--width 128 --noise 0.3")
    assert "--noise" in sweep.row("fails").summary["reason"]
    assert sweep.live["progress"]["step"] > 0

    whole, killed = sweep.row("whole"), sweep.row("killed")
    printed = re.findall(r"Accuracy: (\d+)/1000", (whole.folder / "stdout.log").read_text())
    points = [int(right) / 1000 for right in printed]
    assert len(points) == 20
    assert [value for _, value in whole.curve("Accuracy")] == points
    assert whole.last("Accuracy") == points[-1]
    assert whole.greatest("Accuracy") == max(points)
    assert len(whole.curve("Loss")) == 20 * 4

    assert killed.last("Accuracy") == whole.last("Accuracy")
    assert len(killed.curve("Accuracy")) < 20
    assert whole.has("out/ckpt_epoch*.pt"), "wf init has asked for what may be the results"
