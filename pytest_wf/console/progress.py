"""A campaign's progress in a few words; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_wf.config.expect import finite
from pytest_wf.console.live import News
from pytest_wf.evidence.times import parse_rfc3339
from pytest_wf.wire.rows import CampaignStatus, Live, RowStatus
from pytest_wf.wire.states import ROW_ENDED, ROW_LEFT_OUT, RUNNING

#: Longer times are shown as this: a rate may be almost zero.
_LONGEST_S = 1e9
#: Names that trainers use for the minimised value; the first that is present counts.
_LOSSES = ("loss", "train_loss", "val_loss")


def progress_of(status: CampaignStatus, what: str) -> News:
    """A campaign's status as news of `what`: rows done, rows that are running, metrics, and the
    time that is left."""
    rows = [row for row in status.rows if row.state not in ROW_LEFT_OUT]
    ended = [row for row in rows if row.state in ROW_ENDED]
    text = f"{len(ended)}/{len(rows)} rows done"
    if status.failed:
        text += f", {status.failed} failed"
    if len(rows) < len(status.rows):
        text += f", {len(status.rows) - len(rows)} not selected"
    running = [row for row in rows if row.state == RUNNING]
    left = _time_left(status.now, ended, running, len(rows))
    if left is not None:
        text += f", about {span(left)} left"
    said = [
        f"{row.run_id}: {row.live.line}" if len(running) > 1 else row.live.line
        for row in running
        if row.live is not None and row.live.line
    ]
    return News(
        what,
        text,
        tuple(_running(row) for row in running),
        next(iter(said), ""),
        tuple((row.run_id, row.state) for row in rows),
    )


def span(seconds: float) -> str:
    """A time span for people, such as ``45 s``, ``12 min`` or ``3 h 20 min``."""
    whole = int(min(seconds, _LONGEST_S))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def figure(value: float, digits: int = 5) -> str:
    """A measured number for people, such as ``3.2871`` or ``1.2e-05``."""
    return f"{value:.{digits}g}"


def digits_of(values: Iterable[float], least: int = 5) -> int:
    """The digits, from `least` to 12, with which different `values` have different texts."""
    distinct = set(values)
    counts = ((n, len({figure(value, n) for value in distinct})) for n in range(least, 12))
    return next((n for n, count in counts if count == len(distinct)), 12)


def size(count: int) -> str:
    """A number of bytes for people, such as ``12.3 MB``."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _running(row: RowStatus) -> str:
    text = row.run_id
    if row.attempts > 1:
        text += f" (attempt {row.attempts})"
    progress, live = row.progress or {}, row.live or Live()
    parts = []
    step = finite(progress.get("step"))
    steps, rate = _positive(live.steps), _positive(live.steps_per_s)
    if step is not None:
        parts.append(f"step {step}" + (f"/{steps:.0f}" if steps else ""))
    for name in _LOSSES:
        value = finite(progress.get(name))
        if value is not None:
            parts.append(f"{name} {value:.4g}")
            break
    if rate:
        parts.append(f"{rate:.3g} steps/s" if rate >= 0.1 else f"{1 / rate:.3g} s/step")
        if steps and step is not None and steps > step:
            parts.append(f"{span((steps - step) / rate)} left")
    return " ".join([text, ", ".join(parts)]).strip()


def _positive(value: float | None) -> float:
    """A number above zero; 0.0 for anything else."""
    return max(0.0, float(value or 0.0))


def _time_left(
    now: str, ended: Sequence[RowStatus], running: Sequence[RowStatus], total: int
) -> float | None:
    """The time that is left, from the times of this campaign's rows.

    None if no row has a known time, or if all have ended. The time of a row that has ended is
    known; that of a running row follows from its rate, if it reports how many steps it has.
    """
    left = total - len(ended)
    took = [float(row.duration_s) for row in ended if row.duration_s]
    rests = [_rest(now, row) for row in running]
    took += [spent + rest for spent, rest in rests if spent is not None and rest is not None]
    if not took or not left:
        return None
    usual = sum(took) / len(took)
    under_way = sum(
        rest if rest is not None else max(0.0, usual - (spent or 0.0)) for spent, rest in rests
    )
    return (under_way + (left - len(running)) * usual) / max(1, len(running))


def _rest(now: str, row: RowStatus) -> tuple[float | None, float | None]:
    """How long a row has run by the pod's clock, and its remaining time by its own rate."""
    spent = None
    try:
        since = parse_rfc3339(now) - parse_rfc3339(row.started_at or "")
        spent = max(0.0, since.total_seconds())
    except ValueError:
        pass
    step, live = finite((row.progress or {}).get("step")), row.live or Live()
    steps, rate = _positive(live.steps), _positive(live.steps_per_s)
    if not steps or not rate or step is None:
        return spent, None
    return spent, max(0.0, (steps - step) / rate)
