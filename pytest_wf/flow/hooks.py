"""Where outsiders take part in a flow, as the flow sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_wf.config.reader import Config
from pytest_wf.court.constitution import Contract
from pytest_wf.evidence.records import Check, Evidence
from pytest_wf.project.data_contract import DataContract
from pytest_wf.project.manifest import Row

__all__ = ["FlowHooks"]


class FlowHooks(Protocol):
    """Where outsiders take part in a flow; the plugin forwards to `pytest_wf.hookspecs`."""

    def check(self, evidence: Evidence, contract: Contract) -> Sequence[Check]:
        """Further checks for the deterministic layer."""

    def audit(self, document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Answers of further auditors."""

    def record(self, kind: str, record: Mapping[str, Any], path: Path) -> None:
        """A record was written."""

    def data_contracts(self, config: Config, rows: Sequence[Row]) -> Sequence[DataContract]:
        """Contracts on data that the project brings."""
