"""The status of a large campaign that has ended: one question, one pass over its summaries."""

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
from tests.support.sweep_pod import CAMPAIGN, freeze_campaign

ROWS = 10_000
TIMES = 3
CHANGES = 20
#: Rows that are looked at one python each; the rest is reckoned.
SAMPLE = 40
PER_ROW = "import json, sys; print(json.load(open(sys.argv[1])).get('ok'))"


def test_the_status_of_ten_thousand_ended_rows(
    show: Callable[..., None], spread: Callable[..., Any], tmp_path: Path
) -> None:
    values = config_values(tmp_path / "outputs", tmp_path)
    make_campaign(Settings(values))
    first: list[float] = []
    again: list[float] = []
    changes: list[float] = []
    for _ in range(TIMES):
        connection = LocalConnection(Target("local", "local"))
        client = AgentClient(connection, values)
        try:
            for spent in (first, again):
                trips = client.round_trips
                began = time.perf_counter()
                status = client.request("campaign")
                spent.append(time.perf_counter() - began)
                assert (status["total"], status["ok"]) == (ROWS, ROWS)
                assert client.round_trips - trips == 1
            seen = status["seen"]
            for _ in range(CHANGES):
                began = time.perf_counter()
                status = client.request("campaign", {"changes": True, "seen": seen})
                changes.append(time.perf_counter() - began)
                assert (status["rows"], status["ok"]) == ([], ROWS)
        finally:
            client.close()
            connection.close()
    began = time.perf_counter()
    for index in range(SAMPLE):
        path = tmp_path / "outputs" / f"run-{index:05d}" / "summary.json"
        subprocess.run([sys.executable, "-c", PER_ROW, str(path)], check=True, capture_output=True)
    per_row_s = (time.perf_counter() - began) / SAMPLE * ROWS
    lines = [["", "wall s", "one python a row is slower"]]
    asked = {"first question": first, "next question": again, "what has changed": changes}
    for name, spent in asked.items():
        lines.append([name, str(spread(spent)), f"{per_row_s / spread(spent).median:.0f} x"])
    lines.append([f"one python a row, from {SAMPLE}", f"{per_row_s:.1f}", ""])
    show(f"the status of {ROWS} ended rows, one round trip, median of {TIMES} (min-max)", lines)


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
