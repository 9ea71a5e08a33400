"""The file ``changed`` in a campaign's folder: ids of rows that began or ended, one per line.

The supervisor appends to it, and those who follow the campaign read what was appended. It is only a
hint where to look, and is not synced to the disk.
"""

import os
from typing import List, Optional

from pytest_wf.agent.control.frozen_campaign import Campaign

NAME = "changed"


def name_row(campaign: Campaign, run_id: str) -> None:
    """Append a row that has begun or ended."""
    try:
        with open(_path(campaign), "a", encoding="ascii") as f:
            f.write(run_id + "\n")
    except OSError:
        pass  # it is found later


class ChangedRows:
    """Reads the rows that were appended since the last look."""

    def __init__(self, campaign: Campaign) -> None:
        self._path = _path(campaign)
        self._offset = 0

    def read(self) -> Optional[List[str]]:
        """Run ids that were appended since the last call; None if the file cannot be read."""
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
