"""How a campaign comes along, in a few words; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_wf.console.live import News
from pytest_wf.evidence.records import parse_rfc3339
from pytest_wf.wire.states import ROW_ENDED

__all__ = ["progress_of", "size", "span"]

#: Names under which trainers report what is being minimised, the first that is there.
_LOSSES = ("loss", "train_loss", "val_loss")


def progress_of(status: Mapping[str, Any], what: str) -> News:
    """A campaign's status as news of `what`: rows done, what runs now, what it says, how long
    it may take."""
    rows = list(status.get("rows") or ())
    ended = [row for row in rows if row.get("state") in ROW_ENDED]
    text = f"{len(ended)}/{len(rows)} rows done"
    if status.get("failed"):
        text += f", {status['failed']} failed"
    running = [row for row in rows if row.get("state") == "running"]
    left = _time_left(status, ended, running, len(rows))
    if left is not None:
        text += f", about {span(left)} left"
    said = [
        f"{row['run_id']}: {line}" if len(running) > 1 else str(line)
        for row in running
        if (line := _live(row).get("line"))
    ]
    return News(
        what,
        text,
        tuple(_running(row) for row in running),
        next(iter(said), ""),
        tuple((row["run_id"], row["state"]) for row in rows),
    )


def span(seconds: float) -> str:
    """A time span for people, such as ``45 s``, ``12 min`` or ``3 h 20 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """A number of bytes for people, such as ``12.3 MB``."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _running(row: Mapping[str, Any]) -> str:
    text = f"{row['run_id']}"
    if (row.get("attempts") or 0) > 1:
        text += f" (attempt {row['attempts']})"
    progress, live = row.get("progress") or {}, _live(row)
    parts = []
    step = progress.get("step")
    steps, rate = _positive(live.get("steps")), _positive(live.get("steps_per_s"))
    if step is not None:
        parts.append(f"step {step}" + (f"/{steps:.0f}" if steps else ""))
    for name in _LOSSES:
        value = progress.get(name)
        if isinstance(value, (int, float)):
            parts.append(f"{name} {value:.4g}")
            break
    if rate:
        parts.append(f"{rate:.3g} steps/s" if rate >= 0.1 else f"{1 / rate:.3g} s/step")
        if steps and isinstance(step, (int, float)) and steps > step:
            parts.append(f"{span((steps - step) / rate)} left")
    return " ".join([text, ", ".join(parts)]).strip()


def _live(row: Mapping[str, Any]) -> Mapping[str, Any]:
    live = row.get("live")
    return live if isinstance(live, Mapping) else {}


def _positive(value: object) -> float:
    """A number above zero; 0.0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return max(0.0, float(value))


def _time_left(
    status: Mapping[str, Any], ended: list[Any], running: list[Any], total: int
) -> float | None:
    """From how long rows of this campaign take. None where none of them tells, or at the end.

    A row that has ended tells by its time, one that runs by its rate, where it says how many
    steps it has.
    """
    left = total - len(ended)
    took = [float(row["duration_s"]) for row in ended if row.get("duration_s")]
    rests = [_rest(status, row) for row in running]
    took += [spent + rest for spent, rest in rests if spent is not None and rest is not None]
    if not took or not left:
        return None
    usual = sum(took) / len(took)
    under_way = sum(
        rest if rest is not None else max(0.0, usual - (spent or 0.0)) for spent, rest in rests
    )
    return (under_way + (left - len(running)) * usual) / max(1, len(running))


def _rest(status: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """How long a row has run by the pod's clock, and how long it will by its own rate."""
    spent = None
    try:
        now, began = parse_rfc3339(str(status.get("now"))), parse_rfc3339(str(row["started_at"]))
        spent = max(0.0, (now - began).total_seconds())
    except (KeyError, ValueError):
        pass
    progress, live = row.get("progress") or {}, _live(row)
    step = progress.get("step")
    steps, rate = _positive(live.get("steps")), _positive(live.get("steps_per_s"))
    if not steps or not rate or not isinstance(step, (int, float)):
        return spent, None
    return spent, max(0.0, (steps - step) / rate)
