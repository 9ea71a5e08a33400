"""Notifications of a flow: its halt, failed rows, a kept pod, its end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence.records import FlowSummary
from pytest_wf.flow.rows.row_text import how_it_ended
from pytest_wf.wire.rows import RowStatus

if TYPE_CHECKING:
    from pytest_wf.flow.state import FlowState
    from pytest_wf.notify.sender import Notifier

#: Number of failed rows with a message each; one message has the number of the others.
MAX_ROWS = 5


class Notices:
    """Sends each notification once."""

    def __init__(self, flow: FlowState, notifier: Notifier) -> None:
        self._flow = flow
        self._notifier = notifier
        self._halt_is_sent = False
        self._rows: set[str] = set()

    def halt(self) -> None:
        """Send the flow's halt, if there is one."""
        self._notifier.look()
        halt = self._flow.halt
        if halt is None or self._halt_is_sent:
            return
        self._halt_is_sent = True
        self._tell(str(halt), f"{halt.text}\n{self._where()}", "failure")

    def rows(self, rows: Sequence[RowStatus]) -> None:
        """Send the rows that have failed since the last call, in training or by expectation."""
        if not self._notifier:
            return
        for row in rows:
            if row.run_id in self._rows or row.ok is not False:
                continue
            self._rows.add(row.run_id)
            if len(self._rows) <= MAX_ROWS:
                text = f"{how_it_ended(row)}\n{self._where()}"
                self._tell(f"row {row.run_id} failed", text, "failure")

    def kept(self, facts: Mapping[str, Any]) -> None:
        """Send that a pod is kept, with its cost if known."""
        name = facts.get("kept")
        if not name:
            return
        price, cost = facts.get("usd_per_hour"), facts.get("cost_usd")
        said = [f"The pod {name} is kept."]
        said.append(_cost(price, cost) or "Its price is unknown.")
        self._tell(f"pod {name} kept", f"{' '.join(said)}\n{self._where()}", "warning")

    def end(self, summary: FlowSummary) -> str:
        """Send the flow's end: verdict, rows, cost, path of the page. Waits for all messages.

        Returns a sentence with the number that were delivered; '' if WF_NOTIFY is empty.
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
        if summary.error is not None and summary.error.next:
            lines.append(f"next: {summary.error.next}")
        kind = "success" if summary.ok else "failure"
        self._tell(f"flow {verdict}", "\n".join(filter(None, lines)), kind)
        self._notifier.close()
        facts = self._notifier.facts()
        failed = ", ".join(f"{count} by {name}" for name, count in facts["failed"].items())
        text = f"notifications: {facts['told']} sent, {facts['delivered']} delivered"
        return text + (f", not delivered: {failed}" if failed else "")

    def facts(self) -> dict[str, Any]:
        """Messages sent and delivered so far, for P99's evidence; empty without WF_NOTIFY."""
        self._notifier.look()
        return {"notifications": self._notifier.facts()} if self._notifier else {}

    def _tell(self, title: str, body: str, kind: str) -> None:
        self._notifier.tell(f"{self._flow.project.root.name}: {title}", body, kind)

    def _where(self) -> str:
        return f"evidence: {os.fspath(self._flow.store.dir)}"


_ROW_WORDS = ("ok", "failed", "open", "not_selected")


def _cost(price: object, cost: object) -> str:
    if not isinstance(price, (int, float)):
        return ""
    so_far = f", {cost:.2f} US dollars so far" if isinstance(cost, (int, float)) else ""
    return f"{price:g} US dollars an hour{so_far}."
