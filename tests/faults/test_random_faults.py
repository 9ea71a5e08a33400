"""Whole flows with faults at random moments; `make faults` plays others than these."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.injection.game import Game
from tests.support.injection.schedule import schedule

pytestmark = pytest.mark.slow

#: A seed is one flow's schedule: see `python -m tests.support.injection --seed N`.
SEEDS = (15, 26)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flow_ends_well_whatever_breaks_meanwhile(tmp_path: Path, seed: int) -> None:
    assert Game(tmp_path, schedule(seed), print).play() == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 12, 19, 20, *range(100, 160)])
def test_many_flows_end_well_whatever_breaks_meanwhile(tmp_path: Path, seed: int) -> None:
    assert Game(tmp_path, schedule(seed), print).play() == []


def test_a_seed_is_one_schedule() -> None:
    assert schedule(7) == schedule(7)
    assert len({schedule(seed).legs for seed in range(50)}) == 50
