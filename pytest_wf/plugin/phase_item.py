"""A collected item of a flow: the contract of its phase, and its sweep row."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_wf.court.contract import Contract


class PhaseItem(NamedTuple):
    """The plugin's data on one collected item; `run_id` is None unless it is a row."""

    contract: Contract
    run_id: str | None
    #: The member whose phase it is; '' for a phase that runs once.
    member: str = ""

    @property
    def order(self) -> tuple[str, int, int]:
        """Sort key: rows come before their phase's own items, members in order."""
        number = int(self.member[3:]) if self.member else 0
        return (self.contract.code, 0 if self.run_id is not None else 1, number)


#: Stash key of an item's `PhaseItem`.
PHASE = pytest.StashKey[PhaseItem]()
