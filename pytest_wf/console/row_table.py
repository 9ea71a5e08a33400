"""The table of a sweep's rows, for the end of a flow and the commands that show rows; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pytest_wf.config.expect import finite, named
from pytest_wf.config.ranking import Ranking
from pytest_wf.console.columns import BAD, BOLD, DIM, GOOD, Column, Line, Part, shortened, table
from pytest_wf.console.progress import digits_of, figure, span
from pytest_wf.wire.rows import Live, RowStatus
from pytest_wf.wire.states import RUNNING

#: The most rows that a table on a terminal has: the best, failed ones, and others.
MAX_RANKED, MAX_FAILED, MAX_OTHERS = 20, 10, 10
#: The most columns that are named as not shown.
MAX_NAMED = 8
_LEAST_ID, _LEAST_REASON, _LEAST_PARAMETER = 16, 24, 12


@dataclass(frozen=True)
class TableRow:
    """A row of a sweep, and those of its parameters that differ between rows, as text."""

    status: RowStatus
    parameters: Mapping[str, str] = field(default_factory=dict)


def row_table(
    rows: Sequence[TableRow], ranking: Ranking, width: int | None, *, more: str = ""
) -> list[Line]:
    """The lines of a table of `rows`, the best one marked, each at most `width` columns long.

    `more` says where to find all rows. With it, the rows are in the order of the ranking, and a
    large sweep shows only its best rows and some failed ones. Without it, every row is shown, in
    the given order. Lines after the table say what it is ranked by, and what was left out.
    """
    shown = _selected(rows, ranking) if more else list(rows)
    if not shown:
        return []
    reasons = [_together(_reason(row.status), *_notes(row.status)) for row in shown]
    columns = _columns(shown, ranking)
    column = Column(_title(shown), [Part(reason) for reason in reasons], least=_LEAST_REASON)
    found = table([*columns, column], width)
    lines: list[Line] = [*found.lines]
    if found.left_out:
        found = table(columns, width)
        lines = [found.lines[0]]
        for line, reason in zip(found.lines[1:], reasons, strict=True):
            under = shortened(f"    {reason}", width or len(reason) + 4)
            lines += [line, *([[Part(under)]] if reason else [])]
    said = []
    if ranking.best is not None:
        said.append(f"* the best row: {ranking.words}")
    elif any(row.status.ok for row in shown):
        said.append(f"No row is best. {ranking.reason}")
    if found.left_out:
        names, more_names = found.left_out[:MAX_NAMED], len(found.left_out) - MAX_NAMED
        rest = f" and {more_names} more" if more_names > 0 else ""
        said.append(f"Not shown for lack of room: {', '.join(names)}{rest}.")
    if len(shown) < len(rows):
        said.append(f"{len(shown)} of {len(rows)} rows are shown; all of them: {more}")
    return [*lines, *([Part(text, DIM)] for text in said)]


def _selected(rows: Sequence[TableRow], ranking: Ranking) -> list[TableRow]:
    """The rows of a short table: the best first, then others, then failed ones."""
    by_id = {row.status.run_id: row for row in rows}
    ordered = [by_id[run_id] for run_id in ranking.order if run_id in by_id]
    left = {"ranked": MAX_RANKED, "failed": MAX_FAILED, "other": MAX_OTHERS}
    if len(ordered) <= sum(left.values()):
        return ordered
    shown = []
    for row in ordered:
        kind = "failed" if row.status.ok is False else "other"
        kind = "ranked" if row.status.run_id in ranking.ranks else kind
        if left[kind]:
            left[kind] -= 1
            shown.append(row)
    return shown


def _columns(rows: Sequence[TableRow], ranking: Ranking) -> list[Column]:
    statuses = [row.status for row in rows]
    best = ranking.best

    def plain(texts: Sequence[str], title: str, dispensable: int = 0, least: int = 0) -> Column:
        cells = [Part(text) for text in texts]
        return Column(title, cells, True, dispensable, least, keeps_end=True)

    names = list(dict.fromkeys(name for row in rows for name in row.parameters))
    parameters = [
        plain(
            [row.parameters.get(name, "") for row in rows],
            name,
            dispensable=10 + place,
            least=_LEAST_PARAMETER,
        )
        for place, name in enumerate(names)
    ]
    metric = ranking.rule.metric if ranking.rule is not None else "metric"
    digits = digits_of(ranking.first_values())
    return [
        Column(
            "  row",
            [
                Part(f"* {s.run_id}", BOLD) if s.run_id == best else Part(f"  {s.run_id}")
                for s in statuses
            ],
            least=_LEAST_ID,
            keeps_end=True,
        ),
        Column("state", [_state(s) for s in statuses]),
        Column(
            metric,
            [Part(_value(s, ranking, digits), GOOD if s.run_id == best else "") for s in statuses],
            right=True,
        ),
        *parameters,
        plain([_attempts(s) for s in statuses], "attempts", dispensable=5),
        plain([_steps(s) for s in statuses], "step", dispensable=3),
        plain([_rate(s) for s in statuses], "rate", dispensable=4),
        plain([_left(s) for s in statuses], "left"),
        plain([_time(s) for s in statuses], "time", dispensable=2),
    ]


def _state(row: RowStatus) -> Part:
    style = "" if row.ok is None else GOOD if row.ok else BAD
    text = f"{row.state} {row.failure_class}" if row.failure_class else row.state
    return Part(text, style)


def _value(row: RowStatus, ranking: Ranking, digits: int) -> str:
    """The value that the row is ranked by, otherwise its last value of that metric."""
    if row.run_id in ranking.values:
        return figure(ranking.values[row.run_id], digits)
    if ranking.rule is None:
        return ""
    seen = {**row.metrics, **(row.progress or {})}
    value = named(seen, ranking.rule.base)
    number = finite(value)
    return str(value or "") if number is None else figure(number, digits)


def _step_of(row: RowStatus) -> float | None:
    seen = row.progress if row.state == RUNNING else None
    steps = [finite((seen or row.metrics).get("step"))]
    steps += [finite(one.step) for one in row.extremes.values()]
    return max((step for step in steps if step is not None), default=None)


def _attempts(row: RowStatus) -> str:
    return str(row.attempts) if row.attempts > 1 else ""


def _steps(row: RowStatus) -> str:
    step, live = _step_of(row), row.live or Live()
    if step is None:
        return ""
    of_all = f"/{live.steps:.10g}" if row.state == RUNNING and live.steps else ""
    return f"{step:.10g}{of_all}"


def _rate(row: RowStatus) -> str:
    rate = (row.live or Live()).steps_per_s if row.state == RUNNING else None
    if not rate or rate <= 0:
        return ""
    return f"{rate:.3g}/s" if rate >= 0.1 else f"{1 / rate:.3g} s each"


def _left(row: RowStatus) -> str:
    live, step = row.live or Live(), _step_of(row)
    if row.state != RUNNING or not live.steps or not live.steps_per_s or step is None:
        return ""
    return span(max(0.0, live.steps - step) / live.steps_per_s) if live.steps_per_s > 0 else ""


def _time(row: RowStatus) -> str:
    seconds = row.duration_s
    if row.state == RUNNING and row.live is not None:
        seconds = row.live.ran_s
    return "" if seconds is None else span(seconds)


def _title(rows: Sequence[TableRow]) -> str:
    """The title of the last column, which has the reasons and the notes of rows."""
    if not any(_notes(row.status) for row in rows):
        return "reason"
    return "reason or note" if any(_reason(row.status) for row in rows) else "note"


def _reason(row: RowStatus) -> str:
    """Why the row has not succeeded; empty if it has, or if that is not known."""
    return row.reason or "" if row.ok is not True else ""


def _notes(row: RowStatus) -> list[str]:
    """Its notes, and where its result comes from."""
    adopted = [f"adopted from {row.adopted_from}"] if row.adopted_from else []
    return [*(f"note ({note.code}): {note.text}" for note in row.notes), *adopted]


def _together(*parts: str) -> str:
    return " ".join("; ".join(filter(None, parts)).split())
