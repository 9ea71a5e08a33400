"""The status of a large campaign that has ended, beside one Python that reads all summaries."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_wf.agent.control.settings import Settings
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire.rows import Row
from tests.support.agent_pod import config_values
from tests.support.bench.figures import WALL, Figures, alternate
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign

ROWS = 10_000
#: What a person writes who wants to know it once.
BY_HAND = """\
import glob, json, sys
print(sum(json.load(open(p))["ok"] for p in glob.glob(sys.argv[1] + "/*/summary.json")))
"""


def test_the_status_of_ten_thousand_ended_rows(
    times: int, figures: Figures, tmp_path: Path
) -> None:
    values = config_values(tmp_path / "outputs", tmp_path)
    make_campaign(Settings(values))
    made: list[tuple[AgentClient, LocalConnection]] = []

    def ask(number: int) -> dict[str, float]:
        connection = LocalConnection(Target("local", "local"))
        client = AgentClient(connection, values)
        made.append((client, connection))
        first, answer = timed(lambda: client.request("campaign"))
        assert (answer["total"], answer["ok"]) == (ROWS, ROWS)
        seen = answer["seen"]
        changes, answer = timed(lambda: client.request("campaign", {"changes": True, "seen": seen}))
        assert (answer["rows"], answer["ok"]) == ([], ROWS)
        return {WALL: first, "what has changed, ms": 1000 * changes}

    def by_hand(number: int) -> dict[str, float]:
        words = [sys.executable, "-c", BY_HAND, str(tmp_path / "outputs")]
        spent, counted = timed(lambda: subprocess.check_output(words, text=True))
        assert int(counted) == ROWS
        return {WALL: spent}

    try:
        ways = {"the agent's first answer": ask, "one Python reads all summaries": by_hand}
        figures.add(f"the status of {ROWS} ended rows", alternate(ways, times))
    finally:
        for client, connection in made:
            client.close()
            connection.close()


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


def make_campaign(settings: Settings) -> None:
    """A campaign whose rows have all ended well."""
    names = [f"run-{index:05d}" for index in range(ROWS)]
    row = {"config": "a.py", "seed": 1, "overrides": "lr=1 depth=12", "argv": ["lr=1", "depth=12"]}
    rows = [Row.from_json({**row, "run_id": name, "index": i}) for i, name in enumerate(names)]
    freeze_campaign(settings, rows)
    for name in names:
        folder = Path(settings.run_dir(name))
        folder.mkdir()
        summary = {
            "schema": 1,
            "run_id": name,
            "ok": True,
            "state": "success",
            "exit_code": 0,
            "failure_class": None,
            "reason": None,
            "attempts": 1,
            "duration_s": 5.0,
            "started_at": "2026-01-02T03:04:05Z",
            "finished_at": "2026-01-02T03:04:10Z",
            "campaign_id": CAMPAIGN,
            "git_sha": "a" * 40,
            "config": "a.py",
            "seed": 1,
            "overrides": "lr=1 depth=12",
            "dry_run": False,
            "metrics": {"step": 100, "train_loss": 1.25, "val_loss": 1.5},
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=2))
