"""Records a flow's views once all reporters have written: the last file of a flow."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest import junitxml

from pytest_wf.flow.flow import Flow
from pytest_wf.plugin.reporting import Reporting

if TYPE_CHECKING:
    from pytest_wf.evidence.views import Kind


class DrawnViews:
    """Writes flow.views.json at the very end of the session."""

    def __init__(self, config: pytest.Config, reporting: Reporting, flow: Flow) -> None:
        self._config = config
        self._reporting = reporting
        self._flow = flow

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Outermost wrapper: JUnit, Allure and the page are written inside it.

        A report that cannot be written is named, and fails the session.
        """
        try:
            yield
        finally:
            for line in self._flow.record_views(list(self._drawn())):
                self._reporting.terminal.say(line)
        if self._reporting.trouble:
            self._reporting.terminal.say(f"reports are incomplete: {self._reporting.trouble}")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def _drawn(self) -> Iterator[tuple[Kind, Path]]:
        """Each view with its path, whether or not it was drawn."""
        project = self._flow.state.project
        yield "page", project.root / project.options.reports / "report.html"
        xml = self._config.stash.get(junitxml.xml_key, None)
        if xml is not None:
            yield "junit", Path(xml.logfile)
        if self._reporting.own_allure_dir is not None:
            yield "allure", self._reporting.own_allure_dir
        checklist = project.root / project.config.wf_checklist_path
        yield "checklist", checklist.with_name(checklist.name + ".last")
        if not project.config.wf_checklist_reset_on_end:
            yield "checklist", checklist
