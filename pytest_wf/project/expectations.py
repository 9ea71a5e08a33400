"""What is expected of the metrics of a campaign's rows, and whether they meet it.

The clauses are those of `WF_EXPECT` and those that the campaign has frozen for the row. Only a
row that trained to a good end is judged: the others have failed, or have not ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_wf.config import expect
from pytest_wf.config.expect import Clause, Judgement
from pytest_wf.config.keys import Config
from pytest_wf.config.problems import MAX_PROBLEMS
from pytest_wf.errors import Problem
from pytest_wf.project.baseline import BASELINE, BaselineFile
from pytest_wf.wire.rows import Row, RowStatus
from pytest_wf.wire.states import ROW_FAILED, SUCCESS

#: Failure class of a row that trained to its end and broke what was expected of its metrics.
EXPECT = "expect"

_MAX_TOLD = 10


class JudgedRow(NamedTuple):
    """A row's status with the judgements on its metrics.

    One that breaks its expectations has failed for the flow, with the failure class 'expect';
    its state is that of the pod, as its training ended well.
    """

    status: RowStatus
    #: One a clause; empty where nothing is expected, or the row has no good end.
    judgements: tuple[Judgement, ...] = ()

    @property
    def broken(self) -> list[Judgement]:
        """The clauses that the row does not meet."""
        return [judgement for judgement in self.judgements if not judgement.ok]

    @property
    def ok(self) -> bool | None:
        """Whether the row counts as good; None where that is not known yet."""
        if self.status.state in ROW_FAILED:
            return False
        return not self.broken if self.status.state == SUCCESS else None

    @property
    def failure_class(self) -> str | None:
        """Why the row has failed; None where it has not."""
        return EXPECT if self.broken else self.status.failure_class

    def as_json(self) -> dict[str, Any]:
        """The row's status, and how it was judged where anything is expected of it."""
        body = self.status.as_json()
        if self.judgements:
            body["expectations"] = [judgement.as_data() for judgement in self.judgements]
        if self.broken:
            body.update(ok=False, failure_class=EXPECT)
        return body


@dataclass(frozen=True)
class Expectations:
    """The expectations of one project: its `WF_EXPECT` and its baseline."""

    general: str
    baseline: BaselineFile | None

    def judge(self, row: RowStatus) -> JudgedRow:
        """A row compared with its clauses, if it has trained to a good end."""
        clauses = expect.clauses_of(self.general, row.expect) if row.state == SUCCESS else []
        if not clauses:
            return JudgedRow(row)
        base = self.baseline.row(row.run_id) if self.baseline is not None else {}
        return JudgedRow(row, tuple(expect.judge(clauses, row.metrics, base)))

    def facts(self, rows: Sequence[RowStatus]) -> dict[str, Any]:
        """The judgements over all rows, for evidence; empty where nothing was expected."""
        judged = {
            row.run_id: [judgement.as_data() for judgement in judgements]
            for row in rows
            if (judgements := self.judge(row).judgements)
        }
        if not judged:
            return {}
        source = None
        compared = any("baseline" in entry for entries in judged.values() for entry in entries)
        if self.baseline is not None and compared:
            source = {
                "path": BASELINE.as_posix(),
                "sha256": self.baseline.sha256,
                "flow_id": self.baseline.record.flow_id,
            }
        return {"rows": judged, "baseline": source}


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
    general = [c for c in expect.parse(config.wf_expect) if c.is_relative]
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
            break  # a CSV that is wrong in every line is told so, not echoed
        for clause in expect.parse(row.expect):
            if clause.is_relative and not _has(baseline, row, clause):
                reason = f"{clause.text}: {_why(baseline, clause, [row.run_id])}"
                found.append(Problem(csv_origin, row.line, "expect", row.expect, reason, _REMEDY))
    return found


_REMEDY = (
    "Run a good flow without the condition and take it with `wf baseline set <flow_dir>`, "
    "or write a number."
)


def _has(baseline: BaselineFile | None, row: Row, clause: Clause) -> bool:
    value = None if baseline is None else baseline.row(row.run_id).get(clause.metric)
    return clause.bound(value) is not None


def _why(baseline: BaselineFile | None, clause: Clause, run_ids: Sequence[str]) -> str:
    if baseline is None:
        return f"there is no {BASELINE}."
    shown = ", ".join(run_ids[:_MAX_TOLD])
    more = f" and {len(run_ids) - _MAX_TOLD} more" if len(run_ids) > _MAX_TOLD else ""
    return f"{BASELINE} has no {clause.metric} of {shown}{more}."
