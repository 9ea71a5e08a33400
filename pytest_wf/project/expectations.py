"""Judges whether the metrics of a campaign's rows meet their expectations.

The clauses are those of `WF_EXPECT` and those frozen with the campaign for the row. Only a
row that succeeded is judged: the others have failed, or have not ended. Rows are judged when
their status is received (`flow.operations.sweep`), so that all views show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_wf.config import expect
from pytest_wf.config.expect import Clause
from pytest_wf.config.keys import Config
from pytest_wf.config.problems import MAX_PROBLEMS
from pytest_wf.errors import Problem
from pytest_wf.project.baseline import BASELINE, BaselineFile
from pytest_wf.wire.failures import EXPECT
from pytest_wf.wire.rows import CampaignStatus, Row, RowStatus
from pytest_wf.wire.states import COUNTED_AS, FAILED, SUCCESS

_MAX_TOLD = 10
_OK = {"ok": True, "failed": False}


@dataclass(frozen=True)
class Expectations:
    """The expectations of one project: its `WF_EXPECT` and its baseline."""

    general: str
    baseline: BaselineFile | None

    def judge(self, row: RowStatus) -> RowStatus:
        """The row as every view shows it: its training's state and the judgement of its metrics.

        A row that succeeded and breaks an expectation has failed, with the
        failure class 'expect'.
        """
        row = row._replace(ok=_OK.get(COUNTED_AS.get(row.state, "")), expectations=())
        clauses = expect.clauses_of(self.general, row.expect) if row.state == SUCCESS else []
        base = self.baseline.row(row.run_id) if self.baseline is not None else {}
        judged = expect.judge(clauses, row.measures, base)
        row = row._replace(expectations=tuple(judgement.as_data() for judgement in judged))
        broken = broken_of(row)
        if not broken:
            return row
        return row._replace(state=FAILED, ok=False, failure_class=EXPECT, reason="; ".join(broken))

    def judge_all(self, status: CampaignStatus) -> CampaignStatus:
        """A campaign's status with each of its rows judged."""
        return status._replace(rows=[self.judge(row) for row in status.rows])

    def baseline_of(self, rows: Sequence[RowStatus]) -> dict[str, Any]:
        """The baseline that judged rows were compared with, for evidence; empty if none was."""
        if self.baseline is None or not any("baseline" in e for r in rows for e in r.expectations):
            return {}
        return {
            "path": BASELINE.as_posix(),
            "sha256": self.baseline.sha256,
            "flow_id": self.baseline.record.flow_id,
        }


def broken_of(row: RowStatus) -> list[str]:
    """The expectations that a judged row does not meet, one sentence per clause."""
    return [f"expected {e['expected']}, was {e['was']}" for e in row.expectations if not e["ok"]]


def asks_for_baseline(config: Config, rows: Sequence[Row]) -> bool:
    """Whether any clause of the config or of a row compares with the baseline."""
    texts = {config.wf_expect, *(row.expect for row in rows)}
    return any(clause.is_relative for text in texts for clause in expect.parse(text))


def missing_baselines(
    config: Config,
    rows: Sequence[Row],
    baseline: BaselineFile | None,
    *,
    config_origin: str,
    csv_origin: str,
) -> list[Problem]:
    """A problem for each place that asks for a value which the baseline does not have."""
    found = []
    general = expect.parse(config.wf_expect)
    lacking = {c.text: [r.run_id for r in rows if not _has(baseline, r, c)] for c in general}
    for clause in general:
        if lacking[clause.text]:
            line = config.source("WF_EXPECT")
            reason = f"{clause.text}: {_why(baseline, clause, lacking[clause.text])}"
            found.append(
                Problem(config_origin, line, "WF_EXPECT", config.wf_expect, reason, _REMEDY)
            )
    for row in rows:
        if len(found) >= MAX_PROBLEMS:
            break  # of a CSV that is wrong in every line, not all lines are repeated
        for clause in expect.parse(row.expect):
            if not _has(baseline, row, clause):
                reason = f"{clause.text}: {_why(baseline, clause, [row.run_id])}"
                found.append(Problem(csv_origin, row.line, "expect", row.expect, reason, _REMEDY))
    return found


_REMEDY = (
    "Run a good flow without the condition and record it with `wf baseline set <flow_dir>`, "
    "or write a number."
)


def _has(baseline: BaselineFile | None, row: Row, clause: Clause) -> bool:
    """Whether there is something to compare with; always true for a number in the clause."""
    value = None if baseline is None else expect.named(baseline.row(row.run_id), clause.metric)
    return clause.bound(value) is not None


def _why(baseline: BaselineFile | None, clause: Clause, run_ids: Sequence[str]) -> str:
    if baseline is None:
        return f"there is no {BASELINE}."
    shown = ", ".join(run_ids[:_MAX_TOLD])
    more = f" and {len(run_ids) - _MAX_TOLD} more" if len(run_ids) > _MAX_TOLD else ""
    return f"{BASELINE} has no {clause.metric} of {shown}{more}."
