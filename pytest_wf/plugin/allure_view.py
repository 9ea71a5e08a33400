"""The flow in Allure: phases with their evidence, rows with theirs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.wire.redact import Redactor

if TYPE_CHECKING:
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.plugin.allure_mask import AllureMask

__all__ = ["AllureView"]


class AllureView:
    """Hands records to Allure's reporter, where there is one.

    `own_dir` is where its results go, unless the user asked for another place.
    """

    def __init__(self, config: pytest.Config, own_dir: Path | None, redactor: Redactor) -> None:
        self._config = config
        self._own_dir = own_dir
        self._redactor = redactor
        self._mask: AllureMask | None = None

    def open(self) -> None:
        """Keep secrets out of what Allure writes from now on."""
        folder = getattr(self._config.option, "allure_report_dir", None)
        if self._redactor and folder and self._allure() is not None:
            from pytest_wf.plugin.allure_mask import AllureMask

            self._mask = AllureMask(Path(os.path.abspath(folder)), self._redactor)

    def close(self) -> None:
        """Let go of Allure."""
        if self._mask is not None:
            self._mask.close()

    def phase_ended(self, record: PhaseRecord) -> None:
        """Name the phase's case, and attach its evidence and verdict."""
        allure = self._allure()
        if allure is None:
            return
        allure.dynamic.title(f"{record.contract.code} {record.contract.name}")
        allure.dynamic.parent_suite("lifecycle")
        allure.dynamic.tag(record.contract.code)
        for name, path in (("evidence", record.evidence_path), ("verdict", record.verdict_path)):
            if path and os.path.isfile(path):
                allure.attach.file(path, name, allure.attachment_type.JSON)

    def row_ended(self, row: dict[str, Any]) -> None:
        """Attach the row as it was last seen."""
        allure = self._allure()
        if allure is None:
            return
        allure.dynamic.parent_suite("sweep")
        allure.dynamic.label("run_id", row["run_id"])
        text = json.dumps(row, indent=1, sort_keys=True, default=str)
        allure.attach(text, "row", allure.attachment_type.JSON)

    def clear_old_results(self) -> None:
        """Remove the results of earlier flows, where the folder is ours."""
        if self._own_dir is not None:
            for pattern in ("*-result.json", "*-container.json", "*-attachment*"):
                for path in self._own_dir.glob(pattern):
                    path.unlink()

    def write_no_report(self) -> None:
        """A flow that was refused at collection leaves no empty folder behind."""
        if self._own_dir is not None:
            for folder in (self._own_dir, self._own_dir.parent):
                try:
                    folder.rmdir()  # only where it is empty: the reporter makes it early
                except OSError:
                    break

    def _allure(self) -> Any:
        if not self._config.pluginmanager.hasplugin("allure_listener"):
            return None
        import allure

        return allure
