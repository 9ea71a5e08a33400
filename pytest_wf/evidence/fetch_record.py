"""The commit record of a fetched run, and where a copy moves that a later fetch replaces."""

from __future__ import annotations

from pathlib import Path

#: Written last into a fetched run directory; a file of the pod may not have its name.
COMMIT_RECORD = "FETCHED.json"
#: Beside the fetched runs: the copies that later fetches replaced.
SUPERSEDED = ".superseded"


def record_name(run_id: str) -> str:
    """The name under which a flow keeps its copy of a fetched run's commit record."""
    return f"fetched.{run_id}.json"


def superseded_path(place: Path, flow_id: str) -> Path:
    """Where the copy of a run that `flow_id` fetched to `place` stands once it was replaced.

    `flow_id` is that of the copy's commit record.
    """
    return place.parent / SUPERSEDED / flow_id / place.name
