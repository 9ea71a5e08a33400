"""Flows written by the real evidence store, without a pod: whole, halted, cut short, large."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pytest_wf.court.constitution import LAWS
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.evidence.fetch_record import record_name
from pytest_wf.evidence.records import (
    Check,
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    FlowStart,
    Verdict,
)
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.times import rfc3339
from pytest_wf.report.page import write_report
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus
from tests.support import good_flow as good
from tests.support.browser import DESK, Open

BEGAN = datetime(2026, 3, 1, 8, 30, tzinfo=timezone.utc)
HEX = "0123456789abcdef" * 4

Metrics = Sequence[Mapping[str, Any]] | bytes


def row(run_id: str, index: int, state: str = "success", **known: Any) -> dict[str, Any]:
    """A row of a campaign's status, as P70's evidence has it."""
    begins = BEGAN + timedelta(seconds=40 + index)
    told = {
        "run_id": run_id,
        "index": index,
        "state": state,
        "ok": {"success": True, "failed": False, "timed_out": False}.get(state),
        "attempts": 1,
        "exit_code": 0 if state == "success" else 1,
        "failure_class": None if state == "success" else "oom",
        "reason": None,
        "started_at": rfc3339(begins),
        "finished_at": rfc3339(begins + timedelta(seconds=20)),
        "duration_s": 20.0,
        "progress": None,
        "metrics": {"step": 9, "train_loss": 1.5 + index, "val_loss": 1.75},
        "sources": {"train_loss": "log", "val_loss": "metrics.jsonl"},
        "gpus": [str(index % 8)],
        "adopted_from": None,
        **known,
    }
    return RowStatus.from_json(told).as_json()


def curve(points: int, low: float = 1.0, seed: int = 0) -> list[dict[str, Any]]:
    """Reports of a training that goes down, with a little noise, the same for one seed."""
    return [
        {
            "step": step * 10,
            "train_loss": round(low + _falling(4 * step / points) + _noise(step, seed), 5),
            "val_loss": round(low + 0.1 + _falling(3.7 * step / points), 5),
        }
        for step in range(points)
    ]


def _falling(x: float) -> float:
    return 3 * math.exp(-x)


def _noise(step: int, seed: int) -> float:
    return 0.02 * math.sin(step * (seed + 3))


class WrittenFlow:
    """Writes one flow into a project's folder; `project` is where reports/ stands."""

    def __init__(self, project: Path, flow_id: str, campaign_id: str) -> None:
        self.project = project
        self.flow_id = flow_id
        self.campaign_id = campaign_id
        self.store = EvidenceStore(project / "reports" / "flows", flow_id, Redactor())
        self.rows: list[dict[str, Any]] = []
        self._fetched: dict[str, Path] = {}
        self._began = BEGAN

    @property
    def folder(self) -> Path:
        return self.store.dir

    @property
    def page(self) -> Path:
        return self.project / "reports" / "report.html"

    def start(self, rows: Sequence[dict[str, Any]] = (), rank_by: str = "") -> WrittenFlow:
        self.rows = list(rows)
        self.store.write_start(
            FlowStart(
                flow_id=self.flow_id,
                started_at=rfc3339(BEGAN),
                active_config_path=str(self.project / "flows" / "workflow.env"),
                active_config_sha256=HEX,
                options={"sweep": "start", "wait": "true", "fetch": "all"},
                contracts={code: c.as_data() for code, c in CONTRACTS.items()},
                laws={str(law.id): law.text for law in LAWS.values()},
                rows=[r["run_id"] for r in rows],
                rank_by=rank_by,
                harness_version="0.1.0",
                python="3.12.4",
                platform="Linux",
                host="desk",
                user="ada",
                project_dir=str(self.project),
            )
        )
        return self

    def phase(
        self,
        code: str,
        *,
        seconds: float = 2.0,
        status: str = "ok",
        failure: tuple[int, str, str] = (0, "", ""),
        failed_checks: Sequence[Check] = (),
        verdict: bool = True,
        **more: Any,
    ) -> WrittenFlow:
        """One phase with its four records; without `verdict` it was killed in its court."""
        contract = CONTRACTS[code]
        number, kind, error = failure
        ends = self._began + timedelta(seconds=seconds)
        target = {"resolved_target": "ssh:h100@10.0.0.7:22", "transport": "ssh"}
        evidence = Evidence(
            flow_id=self.flow_id,
            phase_id=code,
            phase_name=contract.name,
            started_at=rfc3339(self._began),
            ended_at=rfc3339(ends),
            active_config_path=str(self.project / "flows" / "workflow.env"),
            active_config_sha256=HEX,
            command_name=contract.commands[0],
            phase_status=status,  # type: ignore[arg-type]
            failure_code=number,
            failure_kind=kind,
            error=error,
            contract=contract.as_data(),
            campaign_id=self.campaign_id if code >= "P60" else None,
            repo_url="https://example.org/train.git",
            **{
                "git_sha": HEX[:40] if code >= "P50" else None,
                **(target if code >= "P20" else {}),
                **more,
            },
        )
        _, evidence_sha256 = self.store.write_evidence(evidence)
        self._began = ends + timedelta(seconds=0.5)
        if not verdict:
            return self
        passed = number == 0 and not failed_checks
        checks = [Check(name="times-in-order", ok=True), *failed_checks]
        common: dict[str, Any] = {"flow_id": self.flow_id, "phase_id": code}
        _, deterministic_sha256 = self.store.write_deterministic(
            DeterministicReport(
                **common, passed=passed, checks=checks, evidence_sha256=evidence_sha256
            )
        )
        _, constitutional_sha256 = self.store.write_constitutional(
            ConstitutionalReport(
                **common,
                verdict="pass" if passed else "fail",
                remediation="" if passed else "Pin the commit that you mean.",
                auditor="python -m pytest_wf.auditor",
                duration_s=0.1,
                evidence_sha256=evidence_sha256,
            )
        )
        previous = self.store.head
        self.store.write_verdict(
            Verdict(
                **common,
                phase_pass=passed,
                deterministic="pass" if passed else "fail",
                constitutional="pass" if passed else "fail",
                enforced=True,
                halt_reason="" if passed else f"{code} failed: {error.partition(chr(10))[0]}",
                violated_laws=[c.law for c in failed_checks if c.law is not None],
                suggested_next_command="" if passed else "wf checkout",
                code=number,
                evidence_sha256=evidence_sha256,
                deterministic_sha256=deterministic_sha256,
                constitutional_sha256=constitutional_sha256,
                previous_verdict_sha256=previous,
                decided_at=rfc3339(ends),
            )
        )
        return self

    def run(
        self,
        run_id: str,
        metrics: Metrics = b"",
        *,
        log: str = "",
        campaign_id: str = "",
        folder: str = "",
        more: Mapping[str, bytes] | None = None,
    ) -> Path:
        """A fetched run with its commit record, and `more` files; P80's evidence will name it."""
        place = self.project / "reports" / "runs" / (folder or run_id)
        place.mkdir(parents=True, exist_ok=True)
        files = {"stdout.log": log.encode(), **(more or {})}
        if metrics:
            lines = metrics if isinstance(metrics, bytes) else jsonl(metrics)
            files["metrics.jsonl"] = lines
        record = {
            "run_id": run_id,
            "campaign_id": campaign_id or self.campaign_id,
            "files": [
                {"path": name, "bytes": len(raw), "sha256": sha256_bytes(raw)}
                for name, raw in files.items()
            ],
        }
        for name, raw in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(raw)
        (place / "FETCHED.json").write_text(json.dumps(record))
        self._fetched[run_id] = place
        return place

    def sweep(self, cells: Mapping[str, str] = MappingProxyType({})) -> WrittenFlow:
        """P60 to P80, with the rows given to `start` and the runs written so far.

        `cells` are config, seed and overrides of rows in the CSV, by run id.
        """
        lines = ["run_id,config,seed,overrides,notes"]
        for r in self.rows:
            i = r["index"]
            usual = f"gpt2.py,{i},lr={3 * (1 + i % 7)}e-4 depth={6 + i % 3}"
            lines.append(f"{r['run_id']},{cells.get(r['run_id'], usual)},")
        csv = "\n".join([*lines, ""])
        path = self.store.attach("manifest.csv", csv.encode())
        self.phase("P60", artifacts=[self.store.artifact("manifest", path)])
        self._began += timedelta(seconds=60)
        self.phase("P70", seconds=0.05, rows={r["run_id"]: r for r in self.rows})
        records, runs = [], {}
        for run_id, place in self._fetched.items():
            path = self.store.attach(record_name(run_id), (place / "FETCHED.json").read_bytes())
            records.append(self.store.artifact("fetch-record", path))
            runs[run_id] = {"path": str(self.project / "reports" / "runs" / run_id)}
        return self.phase("P80", artifacts=records, facts={"runs": runs})

    def before_the_sweep(self, gpus: Sequence[str] = ("NVIDIA H100 80GB HBM3",) * 8) -> WrittenFlow:
        """P00 to P50, all passed."""
        found = [{"index": i, "name": name, "uuid": f"GPU-{i}"} for i, name in enumerate(gpus)]
        probe = {"os": "Linux", "cpus": 52, "memory_bytes": 2**40, "gpus": found}
        self.phase("P00", seconds=0.01)
        self.phase("P10", status="skip", seconds=0.01, facts={"skip_reason": "a target is named"})
        self.phase("P20", seconds=0.3).phase("P30", seconds=3, facts={"probe": probe})
        return self.phase("P40", seconds=8).phase("P50", seconds=14)

    def end(
        self,
        *,
        exit_code: int = 0,
        halted_by: str = "",
        halt_code: int = 0,
        teardown: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Path:
        """P90 with the facts of `teardown`, P99, and the summary."""
        self.phase("P90", seconds=0.05, facts=teardown or {}).phase("P99", seconds=0.02)
        good.close(
            self.store,
            exit_code=exit_code,
            ended_at=rfc3339(self._began),
            halted_by=halted_by,
            halt_code=halt_code,
            **more,
        )
        return self.folder


def jsonl(reports: Sequence[Mapping[str, Any]]) -> bytes:
    """Reports as a trainer writes them."""
    return b"".join(json.dumps(report).encode() + b"\n" for report in reports)


@pytest.fixture
def new_row() -> Callable[..., dict[str, Any]]:
    """`row`, for tests that need one of their own."""
    return row


@pytest.fixture
def new_flow(tmp_path: Path) -> Callable[..., WrittenFlow]:
    """A factory of flows, all in one project unless told otherwise."""
    made: list[WrittenFlow] = []

    def new(project: str = "project", campaign_id: str = "") -> WrittenFlow:
        number = len(made) + 1
        campaign = campaign_id or f"c-20260301T083000Z-{number:06x}"
        root = tmp_path / project
        root.mkdir(exist_ok=True)
        made.append(WrittenFlow(root, f"f-20260301T083000Z-{number:06x}", campaign))
        return made[-1]

    return new


def _ended(index: int) -> dict[str, Any]:
    return {"step": 9, "train_loss": 1.5 + index, "val_loss": 1.75 + index / 10}


@pytest.fixture
def passed_flow(new_flow: Callable[..., WrittenFlow]) -> WrittenFlow:
    """Six rows that trained well, and one that did not."""
    flow = new_flow()
    rows = [row(f"lr-{i}", i, metrics=_ended(i)) for i in range(6)]
    out_of_memory = {"reason": "CUDA out of memory", "attempts": 2, "metrics": _ended(6)}
    rows.append(row("wide", 6, "failed", **out_of_memory))
    flow.start(rows).before_the_sweep()
    for r in rows:
        log = "" if r["ok"] else "step 3\n\x1b[31mtorch.OutOfMemoryError\x1b[0m: out of memory\n"
        flow.run(r["run_id"], curve(60 + r["index"], 1 + r["index"] / 10, r["index"]), log=log)
    flow.sweep()
    flow.end(exit_code=1)
    return flow


@pytest.fixture
def halted_flow(new_flow: Callable[..., WrittenFlow]) -> WrittenFlow:
    """Halted by P50: another commit than the pinned one."""
    flow = new_flow()
    flow.start([row(f"r{i}", i) for i in range(4)])
    flow.phase("P00", seconds=0.01).phase("P10", seconds=0.01, status="skip")
    flow.phase("P20").phase("P30", seconds=4).phase("P40", seconds=9)
    said = f"the checkout is at {HEX[:40]}, EXPECT_GIT_SHA is {HEX[8:48]}. Push that commit."
    check = Check(
        name="sha-as-pinned",
        ok=False,
        law=6,
        expected=HEX[8:48],
        actual=HEX[:40],
        remedy="Push the commit, or change EXPECT_GIT_SHA.",
    )
    flow.phase(
        "P50", status="fail", seconds=6, failure=(312, "wrong-sha", said), failed_checks=[check]
    )
    flow.end(exit_code=1, halted_by="P50", halt_code=312)
    return flow


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a file; at the end it must have asked for nothing and complained of nothing."""
    wrong: list[str] = []
    contexts = []

    def note(kind: str) -> Callable[[Any], None]:
        return lambda what: wrong.append(f"{kind}: {getattr(what, 'text', what)}")

    def open_(
        path: Path, size: tuple[int, int] = DESK, scheme: Any = "light", *, for_axe: bool = False
    ) -> Page:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            # axe is a script of the test's own
            bypass_csp=for_axe,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        page.on("console", note("console"))
        page.on("pageerror", note("error"))
        page.on("dialog", note("dialog"))
        page.on(
            "request",
            lambda r: None if r.url.partition("#")[0] == path.as_uri() else wrong.append(r.url),
        )
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [text for text in wrong if not text.startswith("data:,")] == []


@pytest.fixture
def passed(passed_flow: Any) -> Path:
    return write_report([passed_flow.folder], passed_flow.page)
