"""The flow's HTML page, written when the flow has ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.plugin.reporting import Reporting


class ReportPage:
    """Writes ``report.html``; where that fails, prints why and how to write it again."""

    def __init__(self, reporting: Reporting, path: Path) -> None:
        self._reporting = reporting
        self._path = path
        self._message = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the page when all records and all other reports are written."""
        flow = self._reporting.flow
        if flow is None or not flow.store.dir.is_dir():
            return
        from pytest_wf.report.page import write_report

        page = None
        try:
            page = write_report([flow.store.dir], self._path, self._reporting.redactor)
            self._message = f"report: {os.path.relpath(self._path)}"
        except (Exception, KeyboardInterrupt) as e:  # noqa: BLE001 - the flow must not fail with it
            self._message = (
                f"no report: {type(e).__name__}: {e}. "
                f"Write it with `wf report {os.path.relpath(flow.store.dir)}`."
            )
        self._reporting.page_drawn(page, self._message)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print where the page is, or why there is none."""
        if self._message:
            terminalreporter.write_line(self._reporting.redactor.shown(self._message))
