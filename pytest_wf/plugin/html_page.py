"""The flow's page, drawn when the flow is over: a view, which nothing depends on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.plugin.reporting import Reporting

__all__ = ["ReportPage"]


class ReportPage:
    """Draws ``report.html``; where that fails, says so and how to draw it again."""

    def __init__(self, reporting: Reporting, path: Path) -> None:
        self._reporting = reporting
        self._path = path
        self._said = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Draw the page when all records and all other reports are written."""
        flow = self._reporting.flow
        if flow is None or not flow.store.dir.is_dir():
            return
        from pytest_wf.report.page import write_report

        page = None
        try:
            page = write_report([flow.store.dir], self._path, self._reporting.redactor)
            self._said = f"report: {os.path.relpath(self._path)}"
        except (Exception, KeyboardInterrupt) as e:  # noqa: BLE001 - it must not cost the flow
            self._said = (
                f"no report: {type(e).__name__}: {e}. "
                f"Draw it with `wf report {os.path.relpath(flow.store.dir)}`."
            )
        self._reporting.page_drawn(page, self._said)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Where the page is, or why there is none."""
        if self._said:
            terminalreporter.write_line(self._reporting.redactor.text(self._said))
