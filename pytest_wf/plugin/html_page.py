"""The flow's HTML page: redrawn while the flow waits for its rows, and when it has ended."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from pytest_wf.plugin.phase_item import PHASE
from pytest_wf.plugin.reporting import Reporting
from pytest_wf.report.running import SeenCurves
from pytest_wf.wire.rows import CampaignStatus
from pytest_wf.wire.states import RUNNING

#: Seconds between two drawings, and from the first status of the rows to the first drawing.
EVERY_S = 30.0
FIRST_S = 10.0
#: Drawing takes at most one part in this many of the flow's time.
_SHARE = 20
_MAX_FAILURES = 3
#: While the pod does the work of this phase, the controller has nothing to do.
_IDLE_PHASE = "P40"


class ReportPage:
    """Writes ``report.html``; if that fails, prints why and how to write it later.

    It runs in the flow's own thread, between two requests for the pod's status.
    """

    def __init__(self, reporting: Reporting, path: Path) -> None:
        self._reporting = reporting
        self._path = path
        #: Time of the next drawing while the flow runs; None before rows were seen.
        self._next: float | None = None
        self._failures = 0
        self._curves = SeenCurves()
        self._is_imported = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Follow the rows that the flow sees."""
        flow = self._reporting.flow
        if flow is not None and flow.project.options.wait:
            flow.watched.observers.append(self._rows_seen)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Import what draws the page while the flow waits for its pod."""
        if item.stash[PHASE].contract.code == _IDLE_PHASE and not self._is_imported:
            self._is_imported = True
            Thread(target=_import_drawing, name="wf-page").start()

    def _rows_seen(self, status: CampaignStatus) -> None:
        """Draw the page of the running flow, if it is time. Never fails the flow."""
        if self._failures >= _MAX_FAILURES:
            return
        running = [row for row in status.rows if row.state == RUNNING]
        began = monotonic()
        if self._next is None:
            self._next = began + FIRST_S
        try:
            self._curves.take(running)
            if running and began >= self._next:
                self._draw_running()
                self._next = began + max(EVERY_S, _SHARE * (monotonic() - began))
        except Exception:  # noqa: BLE001 - the page at the end says why it cannot be drawn
            self._failures += 1
            self._next = began + EVERY_S

    def _draw_running(self) -> None:
        from pytest_wf.report.page import write_report
        from pytest_wf.report.running import Running

        flow = self._reporting.flow
        assert flow is not None
        known = Running(flow.watched.rows, self._curves, EVERY_S)
        write_report([flow.store.dir], self._path, self._reporting.redactor, known)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the page once all records and all other reports are written."""
        flow = self._reporting.flow
        if flow is None or not flow.store.dir.is_dir():
            return
        from pytest_wf.report.page import write_report

        page = None
        try:
            page = write_report([flow.store.dir], self._path, self._reporting.redactor)
            message = f"report: {os.path.relpath(self._path)}"
        except (Exception, KeyboardInterrupt) as e:  # noqa: BLE001 - the flow must not fail with it
            message = (
                f"no report: {type(e).__name__}: {e}. "
                f"Write it with `wf report {os.path.relpath(flow.store.dir)}`."
            )
        self._reporting.page_drawn(page, message)


def _import_drawing() -> None:
    with suppress(Exception):  # whoever draws the page says why it cannot be drawn
        import_module("pytest_wf.report.page")
