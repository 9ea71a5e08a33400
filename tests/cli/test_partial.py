"""A row that has not ended: brought home only where that is asked for, and marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence.fetch_record import COMMIT_RECORD

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_running_row_comes_partial_when_asked_for_and_counts_for_nothing(
    new_wf: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wf = new_wf(rows=(f"long,default.py,1,wait_for={gate},", "next,default.py,1,,"))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start")
    with wf.start("logs", "-f", "long") as log:
        assert "training long" in log.stdout.readline()

        refused = wf("fetch-run", "long")
        assert refused.code == 1
        assert refused.problems[0].startswith("row long is running: it has no results yet")
        assert "wf fetch-run long --partial" in refused.problems[0]
        assert not (wf.root / "reports" / "runs").exists()

        for _ in range(2):  # the newer one takes the place of the older
            told = wf("fetch-run", "long", "--partial", "--json").document
            assert (told["partial"], told["verified"], told["synced"]) == (["long"], False, False)
            assert "the row had not ended: it was running" in told["problems"]["long"]
        place = wf.root / "reports" / "runs" / "long"
        assert "training long" in (place / "stdout.log").read_text()
        assert json.loads((place / COMMIT_RECORD).read_bytes())["whole"] is False
        assert wf("fsm-status", "--json").document["state"] == "SWEEP_RUNNING"

        gate.touch()
        log.communicate(timeout=120)
    wf.all_good("sweep-watch", "fetch-run next")
    kept = wf("pod-delete")
    assert kept.code == 1
    assert "results on local are not here and verified: long (" in kept.problems[0]

    told = wf("fetch-all", "--json").document
    assert (told["partial"], told["verified"], told["synced"]) == ([], True, True)
    assert json.loads((place / COMMIT_RECORD).read_bytes())["whole"] is True
    runs = [path.name for path in place.parent.iterdir() if not path.name.startswith(".")]
    assert sorted(runs) == ["long", "next"]
    kept_copies = [path for path in (place.parent / ".superseded").iterdir() if path.is_dir()]
    assert kept_copies == [], "what nothing relies on gives way"
