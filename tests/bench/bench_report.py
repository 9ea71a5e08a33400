"""The page of a very large sweep: how long it takes, what it weighs, how quick it is to use."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.records import Evidence, FlowStart
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus
from tests.support.bench.figures import Figures

DRAW = """\
import resource, sys
from pathlib import Path
from pytest_wf.report.page import write_report
write_report([Path(sys.argv[1])], Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

#: In milliseconds: the first table seen, and what a reader does; in MiB: the tab's memory.
MEASURE = """() => {
  const timed = (act) => {
    const began = performance.now();
    act();
    document.body.getBoundingClientRect();
    return Math.round(performance.now() - began);
  };
  const show = (changes) => timed(() => { Object.assign(view, DEFAULTS, changes); refresh(); });
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return {
    "first paint ms": Math.round(paint.startTime),
    "filter ms": show({ filter: "1" }),
    "sort ms": show({ sort: "-run" }),
    "group ms": show({ group: "params" }),
    "all rows ms": show({}),
    "parameters ms": byId("scatters") ? timed(drawParameters) : 0,
    "tab MiB": Math.round(performance.memory.usedJSHeapSize / 2 ** 20),
  };
}"""


def large_flow(project: Path, rows: int, points: int, parameters: int) -> Path:
    """A flow with `rows` fetched runs of `points` reports each; their metrics are one file.

    Each row has its own value of `parameters` parameters.
    """
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

    def evidence(code: str, **more: Any) -> None:
        contract = CONTRACTS[code]
        store.write_evidence(
            Evidence(
                flow_id="f-bench",
                phase_id=code,
                phase_name=contract.name,
                started_at=when,
                ended_at=when,
                active_config_path="flows/workflow.env",
                active_config_sha256=digest,
                command_name=contract.commands[0],
                phase_status="ok",
                campaign_id=campaign,
                contract=contract.as_data(),
                **more,
            )
        )

    values = random.Random(1)
    lines = ["run_id,config,seed,overrides,notes"]
    for i, name in enumerate(names):
        words = (f"p{n}={values.randint(0, 9)}" for n in range(parameters))
        lines.append(f"{name},gpt2.py,{i % 5},{' '.join(words)},")
    manifest = store.attach("manifest.csv", "\n".join([*lines, ""]).encode())
    evidence("P60", artifacts=[store.artifact("manifest", manifest)])
    statuses = (
        RowStatus(name, "success", i, ok=True, attempts=1, metrics={"loss": values.random()})
        for i, name in enumerate(names)
    )
    evidence("P70", rows={row.run_id: row.as_json() for row in statuses})
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


@pytest.mark.parametrize(
    ("rows", "points", "parameters"), [(1_000, 1_000, 0), (10_000, 10_000, 0), (10_000, 1_000, 100)]
)
def test_draw_and_open_a_large_page(
    tmp_path: Path, figures: Figures, rows: int, points: int, parameters: int
) -> None:
    folder = large_flow(tmp_path, rows, points, parameters)
    page = tmp_path / "report.html"
    began = time.monotonic()
    drawn = subprocess.run(
        [sys.executable, "-c", DRAW, str(folder), str(page)],
        capture_output=True,
        text=True,
        check=True,
    )
    cost: dict[str, float] = {
        "drawn in s": time.monotonic() - began,
        "drawn with MiB": int(drawn.stdout) / 1024,
        "page MiB": page.stat().st_size / 2**20,
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
        )
        shown = browser.new_page()
        began = time.monotonic()
        shown.goto(page.as_uri())
        shown.locator("#table td.is-run button").first.wait_for()
        cost["table after s"] = time.monotonic() - began
        cost.update(shown.evaluate(MEASURE))
        notes = [shown.locator("#curve-count").inner_text()]
        notes += shown.locator("#curves ~ .note").all_inner_texts()
        browser.close()
    title = f"a page of {rows} rows with {points} points and {parameters} parameters each"
    figures.add(title, {"in Chromium": [cost]}, "\n".join(notes))
