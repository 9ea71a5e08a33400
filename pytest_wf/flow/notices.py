"""What of a flow is told to people: its halt, failed rows, a pod that is kept, its end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence.records import FlowSummary
from pytest_wf.project.expectations import unmet
from pytest_wf.wire.states import ROW_FAILED

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState
    from pytest_wf.notify.sender import Notifier

__all__ = ["MAX_ROWS", "Notices"]

#: Failed rows that get a message of their own; the others are counted in one.
MAX_ROWS = 5

_NEXT = "pytest flows/ --wf-flow --wf-sweep=resume"


class Notices:
    """Each thing that is told is told once."""

    def __init__(self, flow: FlowState, notifier: Notifier) -> None:
        self._flow = flow
        self._notifier = notifier
        self._has_told_halt = False
        self._rows: set[str] = set()

    def halt(self) -> None:
        """The flow's halt, where there is one."""
        self._notifier.look()
        halt = self._flow.halt
        if halt is None or self._has_told_halt:
            return
        self._has_told_halt = True
        self._tell(str(halt), f"{halt.text}\n{self._where()}", "failure")

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows that have failed since the last look, with or without their training."""
        if not self._notifier:
            return
        for row in rows:
            run_id = str(row["run_id"])
            if run_id in self._rows or row["state"] not in (*ROW_FAILED, "success"):
                continue
            seen = self._flow.watched.expectations.seen(row)
            if row["state"] == "success" and seen.get("ok") is not False:
                continue
            self._rows.add(run_id)
            if len(self._rows) <= MAX_ROWS:
                self._tell(f"row {run_id} failed", f"{_row_text(seen)}\n{self._where()}", "failure")

    def kept(self, facts: Mapping[str, Any]) -> None:
        """A pod that is kept, and what it costs where that is known."""
        name = facts.get("kept")
        if not name:
            return
        price, cost = facts.get("usd_per_hour"), facts.get("cost_usd")
        said = [f"The pod {name} is kept."]
        said.append(_cost(price, cost) or "What it costs is not known here.")
        self._tell(f"pod {name} kept", f"{' '.join(said)}\n{self._where()}", "warning")

    def end(self, summary: FlowSummary) -> str:
        """The flow's end: verdict, rows, cost, where the page is. Waits for all messages.

        Gives what came of them in a sentence; '' where none were asked for.
        """
        if not self._notifier:
            return ""
        self.halt()
        if len(self._rows) > MAX_ROWS:
            more = len(self._rows) - MAX_ROWS
            self._tell(f"and {more} more rows failed", self._where(), "failure")
        counts = summary.counts
        rows = " ".join(f"{name}={counts.get(f'rows_{name}', 0)}" for name in _ROW_WORDS)
        where = f" ({summary.failed_phase}, code {summary.failure_code})"
        verdict = "passed" if summary.ok else "failed"
        project = self._flow.project
        lines = [
            f"{verdict}{where if summary.failed_phase else ''} after {summary.duration_s:.0f} s",
            f"rows: {rows}",
            _cost(summary.usd_per_hour, summary.cost_usd),
            f"report: {project.root / project.options.reports / 'report.html'}",
            self._where(),
        ]
        if not summary.ok:
            lines.append(f"next: {_NEXT}")
        kind = "success" if summary.ok else "failure"
        self._tell(f"flow {verdict}", "\n".join(filter(None, lines)), kind)
        self._notifier.close()
        facts = self._notifier.facts()
        failed = ", ".join(f"{count} by {name}" for name, count in facts["failed"].items())
        told = f"notifications: {facts['told']} told, {facts['delivered']} delivered"
        return told + (f", not delivered: {failed}" if failed else "")

    def facts(self) -> dict[str, Any]:
        """What came of the messages so far, for P99's evidence; empty where none are asked for."""
        self._notifier.look()
        return {"notifications": self._notifier.facts()} if self._notifier else {}

    def _tell(self, title: str, body: str, kind: str) -> None:
        self._notifier.tell(f"{self._flow.project.root.name}: {title}", body, kind)

    def _where(self) -> str:
        return f"evidence: {os.fspath(self._flow.store.dir)}"


_ROW_WORDS = ("ok", "failed", "open")


def _row_text(row: Mapping[str, Any]) -> str:
    broken = unmet(row)
    if broken:
        return "Its training ended well.\n" + "\n".join(broken)
    said = [f"{row['state']}, {row.get('attempts', 0)} attempts"]
    if row.get("failure_class"):
        said.append(f"class {row['failure_class']}")
    if row.get("exit_code") is not None:
        said.append(f"exit status {row['exit_code']}")
    return ", ".join(said) + (f"\n{row['reason']}" if row.get("reason") else "")


def _cost(price: object, cost: object) -> str:
    if not isinstance(price, (int, float)):
        return ""
    so_far = f", {cost:.2f} US dollars so far" if isinstance(cost, (int, float)) else ""
    return f"{price:g} US dollars an hour{so_far}."
