"""Which rows began or ended, in ``changed`` of a campaign's folder: a hint, an id a line.

The supervisor appends to it, and whoever follows the campaign reads what came since. It says where
to look and nothing else; it is not synced to the disk.
"""

import os
from typing import List, Optional

from pytest_wf.agent.control.frozen_campaign import Campaign

NAME = "changed"


def name_row(campaign: Campaign, run_id: str) -> None:
    """Name a row that has begun or ended."""
    try:
        with open(_path(campaign), "a", encoding="ascii") as f:
            f.write(run_id + "\n")
    except OSError:
        pass  # it is found later


class ChangedRows:
    """Reads the rows that were named since the last look."""

    def __init__(self, campaign: Campaign) -> None:
        self._path = _path(campaign)
        self._offset = 0

    def read(self) -> Optional[List[str]]:
        """Run ids that were named since the last call; None where nothing names any."""
        try:
            with open(self._path, "rb") as f:
                f.seek(self._offset)
                raw = f.read()
        except OSError:
            return None
        whole = raw[: raw.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode("ascii", "replace").split()


def _path(campaign: Campaign) -> str:
    return os.path.join(campaign.folder, NAME)
