"""The keys whose values differ between the configs of flows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_wf.config.dotenv import MAX_BYTES, read_entries
from pytest_wf.report.compare.difference import Difference, differences
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.runs import read_regular


def config_of(folder: Folder) -> dict[str, str] | None:
    """The keys of a flow's config as written; None if its copy is not here."""
    evidence = folder.phases.get("P00", PhaseFiles()).evidence
    for artifact in evidence.artifacts if evidence is not None else ():
        if artifact.role == "config":
            raw = read_regular(folder.path / Path(artifact.path).name, MAX_BYTES)
            if raw is not None:
                entries = read_entries(raw, "config").entries
                return {name: entry.text for name, entry in entries.items()}
    return None


def differing_keys(folders: Sequence[Folder]) -> list[Difference]:
    """The keys that differ, by name; empty if a config is not here."""
    configs = [config_of(folder) for folder in folders]
    known = [config for config in configs if config is not None]
    return differences(known) if len(known) == len(configs) else []
