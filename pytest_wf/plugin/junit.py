"""The flow in JUnit: a case for each phase and row, with the facts of its record as properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _pytest import junitxml

from pytest_wf.wire.failures import KINDS

if TYPE_CHECKING:
    from pytest_wf.core.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord

__all__ = ["JUnitView"]


class JUnitView:
    """Hands the facts of phases and rows to pytest's own JUnit reporter."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def phase_ended(self, item: pytest.Item, record: PhaseRecord, verdict: Verdict) -> None:
        """Give the phase's case its properties."""
        properties = {
            "wf.phase": record.contract.code,
            "wf.status": record.status,
            "wf.code": verdict.code,
            "wf.verdict": "pass" if verdict.phase_pass else "fail",
            "wf.evidence_sha256": verdict.evidence_sha256,
            "wf.evidence": record.evidence_path,
        }
        if record.skipped:
            properties["wf.skip_reason"] = record.skipped
        if record.contract.code == "P99" and record.verdict_sha256:
            properties["wf.chain_head"] = record.verdict_sha256
        item.user_properties.extend((k, str(v)) for k, v in properties.items())

    def row_ended(self, item: pytest.Item, code: str, row: dict[str, Any]) -> None:
        """Give the row's case its properties."""
        state = row.get("state", "unknown")
        facts = {
            "wf.phase": code,
            "wf.run_id": row["run_id"],
            "wf.row_state": state,
            "wf.code": _row_code(state),
            "wf.attempts": row.get("attempts", 0),
            "wf.exit_code": row.get("exit_code"),
            "wf.failure_class": row.get("failure_class"),
            "wf.duration_s": row.get("duration_s"),
        }
        facts.update({f"wf.metric.{k}": v for k, v in (row.get("metrics") or {}).items()})
        item.user_properties.extend((k, str(v)) for k, v in facts.items() if v is not None)

    def write_no_report(self) -> None:
        """A flow that was refused at collection loses no old report."""
        junitxml.pytest_unconfigure(self._config)


def _row_code(state: str) -> int | None:
    if state in ("failed", "timed_out", "stopped"):
        return KINDS["row-failed"]
    return 0 if state == "success" else None
