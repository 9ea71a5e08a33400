"""A collected item of a flow: the contract of its phase, and the sweep row that it is for."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_wf.court.contract import Contract


class PhaseItem(NamedTuple):
    """What the plugin knows about one collected item; `run_id` is None unless it is a row."""

    contract: Contract
    run_id: str | None
    #: The member of several whose phase it is; '' for what happens once.
    member: str = ""

    @property
    def order(self) -> tuple[str, int, int]:
        """Sort key: rows come before their phase's own items, members in their order."""
        number = int(self.member[3:]) if self.member else 0
        return (self.contract.code, 0 if self.run_id is not None else 1, number)


#: Where an item keeps its `PhaseItem`.
PHASE = pytest.StashKey[PhaseItem]()
