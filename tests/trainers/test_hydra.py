"""Hydra, with MLflow as its tracker: the example `hydra`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.trainers.sweep import Sweep

pytestmark = [pytest.mark.trainers, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_sweep_of_hydra(new_sweep: Callable[..., Sweep]) -> None:
    sweep = new_sweep("hydra", checkpoints="ckpt_*.pt", words='resume_from="$RESUME_FROM"')
    sweep.run(fails=",1,optimizer=none", trains=",1,mlflow=true width=64")
    assert "optimizer" in sweep.row("fails").summary["reason"]
    assert sweep.live["progress"]["step"] >= 500
    assert sweep.live["live"]["steps"] == 2000

    whole, killed = sweep.row("whole"), sweep.row("killed")
    [stored] = whole.folder.glob("trackers/mlruns/*/*/metrics/val_mse")
    logged = [line.split() for line in stored.read_text().splitlines()]
    points = [(int(step), round(float(value), 5)) for _, value, step in logged]
    assert len(points) == 20
    assert whole.curve("val_mse") == points
    assert whole.last("val_mse") == points[-1][1]
    assert whole.least("val_mse") == min(value for _, value in points)

    assert killed.curve("val_mse")[0][0] > killed.resumed_at >= 1000
    assert killed.last("val_mse") == whole.last("val_mse")
    assert not whole.has("out/*.pt")
    assert whole.has("out/.hydra/overrides.yaml")
