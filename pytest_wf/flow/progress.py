"""How a campaign comes along, in one line; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["progress_line", "size", "span"]

_ENDED = ("success", "failed", "timed_out", "stopped", "dry_run")
#: Names under which trainers report what is being minimised, the first that is there.
_LOSSES = ("loss", "train_loss", "val_loss")


def progress_line(status: Mapping[str, Any]) -> str:
    """A campaign's status as one line: rows done, what runs now, how long it may take."""
    rows = list(status.get("rows") or ())
    ended = [row for row in rows if row.get("state") in _ENDED]
    text = f"{len(ended)}/{len(rows)} rows done"
    if status.get("failed"):
        text += f", {status['failed']} failed"
    running = [row for row in rows if row.get("state") == "running"]
    text += "".join(f"; {_running(row)}" for row in running[:2])
    if len(running) > 2:
        text += f" and {len(running) - 2} more"
    left = _time_left(ended, len(rows), max(1, len(running)))
    return f"{text}; about {span(left)} left" if left is not None else text


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
    progress = row.get("progress") or {}
    if progress.get("step") is not None:
        text += f" step {progress['step']}"
    for name in _LOSSES:
        value = progress.get(name)
        if isinstance(value, (int, float)):
            return f"{text} {name} {value:.4g}"
    return text


def _time_left(ended: list[Any], total: int, at_once: int) -> float | None:
    """From the rows of this campaign that ran; None before the first has ended, or at the end."""
    took = [row["duration_s"] for row in ended if row.get("duration_s")]
    left = total - len(ended)
    return sum(took) / len(took) * left / at_once if took and left else None
