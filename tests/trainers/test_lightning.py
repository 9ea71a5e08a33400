"""LightningCLI, the example `lightning`."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest

from tests.trainers.sweep import Sweep

pytestmark = [pytest.mark.trainers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_of_lightning(new_sweep: Callable[..., Sweep]) -> None:
    # it takes TensorBoard's logger where that is installed
    logger = '--trainer.logger=CSVLogger --trainer.logger.save_dir="$TRAIN_OUT_DIR"'
    sweep = new_sweep("lightning", checkpoints="**/epoch=*.ckpt", words=logger)
    sweep.run(fails="config.yaml,1,--model.width=-1", trains="config.yaml,1,")
    assert sweep.row("fails").summary["failure_class"] == "user"
    assert sweep.live["progress"]["step"] >= 99

    whole, killed = sweep.row("whole"), sweep.row("killed")
    with (whole.folder / "out/lightning_logs/version_0/metrics.csv").open() as f:
        logged = list(csv.DictReader(f))
    for metric, points in (("train/loss", 60), ("val/loss", 12), ("val/acc", 12)):
        recorded = [(int(line["step"]), float(line[metric])) for line in logged if line[metric]]
        assert len(recorded) == points
        assert whole.curve(metric) == recorded
        assert whole.last(metric) == recorded[-1][1]
        assert whole.greatest(metric) == max(value for _, value in recorded)

    assert killed.curve("val/loss")[0][0] > 125
    assert killed.curve("val/loss")[-1][0] == whole.curve("val/loss")[-1][0]
    assert not whole.has("out/**/*.ckpt")
    assert whole.has("out/lightning_logs/version_0/hparams.yaml")
