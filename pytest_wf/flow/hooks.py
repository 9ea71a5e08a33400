"""Where outsiders take part in a flow, as the flow sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_wf.core.config import Config
from pytest_wf.core.constitution import Contract
from pytest_wf.core.data import DataContract
from pytest_wf.core.manifest import Row
from pytest_wf.core.records import Check, Evidence

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
