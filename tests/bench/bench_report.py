"""The page of a very large sweep: how long it takes, what it weighs, how quick it is to use."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import Evidence, FlowStart
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.redact import Redactor

DRAW = """\
import resource, sys
from pathlib import Path
from pytest_wf.report.page import write_report
write_report([Path(sys.argv[1])], Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def large_flow(project: Path, rows: int, points: int) -> Path:
    """A flow with `rows` fetched runs of `points` reports each; their metrics are one file."""
    campaign, digest, when = "c-bench", "0" * 64, "2026-01-01T00:00:00Z"
    store = EvidenceStore(project / "reports" / "flows", "f-bench", Redactor())
    names = [f"run-{i:05d}" for i in range(rows)]
    store.write_start(
        FlowStart(
            flow_id="f-bench",
            started_at=when,
            active_config_path="flows/workflow.env",
            active_config_sha256=digest,
            rows=names,
            project_dir=str(project),
        )
    )
    store.write_evidence(
        Evidence(
            flow_id="f-bench",
            phase_id="P70",
            phase_name="MONITOR",
            started_at=when,
            ended_at=when,
            active_config_path="flows/workflow.env",
            active_config_sha256=digest,
            command_name="sweep-watch",
            phase_status="ok",
            campaign_id=campaign,
            contract=CONTRACTS["P70"].as_data(),
            rows={
                name: {"state": "success", "ok": True, "index": i, "metrics": {"loss": i / rows}}
                for i, name in enumerate(names)
            },
        )
    )
    whole = project / "metrics.jsonl"
    with whole.open("w") as f:
        for step in range(points):
            loss = 1 + 3 * math.exp(-5 * step / points) + 0.05 * math.sin(step)
            f.write(json.dumps({"step": step, "loss": round(loss, 5), "lr": 3e-4}) + "\n")
    stated = [{"path": "metrics.jsonl", "sha256": sha256_bytes(whole.read_bytes())}]
    for name in names:
        run = project / "reports" / "runs" / name
        run.mkdir(parents=True)
        os.link(whole, run / "metrics.jsonl")
        record = {"run_id": name, "campaign_id": campaign, "files": stated}
        (run / "FETCHED.json").write_text(json.dumps(record))
    return store.dir


@pytest.mark.parametrize(("rows", "points"), [(1_000, 1_000), (10_000, 10_000)])
def test_draw_and_open_a_large_page(tmp_path: Path, rows: int, points: int) -> None:
    folder = large_flow(tmp_path, rows, points)
    page = tmp_path / "report.html"
    began = time.monotonic()
    drawn = subprocess.run(
        [sys.executable, "-c", DRAW, str(folder), str(page)],
        capture_output=True,
        text=True,
        check=True,
    )
    took_s = time.monotonic() - began
    print(
        f"\npage of {rows} rows with {points} points each: {took_s:.1f} s, "
        f"{int(drawn.stdout) / 1024:.0f} MiB of memory, {page.stat().st_size / 2**20:.1f} MiB"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
        )
        shown = browser.new_page()
        began = time.monotonic()
        shown.goto(page.as_uri())
        shown.locator("#table td.run").first.wait_for()
        opened_s = time.monotonic() - began
        filter_ms = shown.evaluate(
            "() => { const t = performance.now(); list.words = ['1']; refresh();"
            " return performance.now() - t; }"
        )
        print(f"opened in {opened_s:.1f} s, filtered in {filter_ms:.0f} ms;")
        print(shown.locator("#curve-count").inner_text())
        print("\n".join(shown.locator("#curves ~ .note").all_inner_texts()))
        browser.close()
