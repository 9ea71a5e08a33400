"""A disk of the controller's that fills up in mid-flow: messages, no traceback, and a way on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.injection.game import Game
from tests.support.injection.schedule import Fault, Leg, Schedule

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
    pytest.mark.slow,
]


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    "event",
    [
        "phase:P80",
        pytest.param("start", marks=pytest.mark.long),
        *(pytest.param(f"phase:{c}", marks=pytest.mark.long) for c in ("P50", "P99")),
    ],
)
def test_a_flow_on_a_full_disk_ends_with_a_message_and_the_next_one_well(
    tmp_path: Path, event: str
) -> None:
    fault = Fault(event, 0.0, "full-local-disk", "", 120.0)
    game = Game(tmp_path, Schedule(0, "local", (Leg("start", (fault,)),)), print)
    assert game.play() == []
    assert "cannot be written" in game.user.told[0][1] or "No space left" in game.user.told[0][1]
    assert f"generated xml file: {game.project.root}/reports/junit.xml -" in game.user.told[-1][1]
