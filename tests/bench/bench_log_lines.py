"""How much log the reader of log lines reads in a second."""

from __future__ import annotations

import sysconfig
import time
from pathlib import Path

from pytest_wf.agent.run.log_pump import PIECE_BYTES
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.reader import Run

MEGABYTE = 10**6


def rate_of(text: str) -> float:
    """Megabytes a second, of pieces as the log pump gives them."""
    reader = LogLines(Run(""))
    began = time.process_time()
    for start in range(0, len(text), PIECE_BYTES):
        reader.take_log(text[start : start + PIECE_BYTES])
    return len(text) / MEGABYTE / (time.process_time() - began)


def test_the_rate_of_reading() -> None:
    sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    prose = "".join(path.read_text("utf-8", errors="replace") for path in sources)
    reports = "".join(
        f"step {step}/100000 | loss {7 - step / 1e5:.4f} | lr 1.0e-04 | tok/sec: 1,272,000\n"
        for step in range(20000)
    )
    noise = "2026-01-01 10:00:00,000 - data - INFO - shard 17 of 99 is open on worker 3\n" * 100
    mixed = "".join(noise + line for line in reports.splitlines(keepends=True)[:1000])
    for name, text in (("source text", prose), ("one report in 100", mixed), ("reports", reports)):
        print(f"{name:20} {rate_of(text):8.1f} MB/s")
