"""The baseline that a flow was compared with, as P00 kept it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pytest_wf.evidence.records import Baseline
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.runs import parsed, read_regular

_MAX_BYTES = 256 * 1024 * 1024


def baseline_of(folder: Folder) -> Baseline | None:
    """The baseline of the flow in `folder`; None if there is none that can be read."""
    evidence = folder.phases.get("P00", PhaseFiles()).evidence
    for artifact in evidence.artifacts if evidence is not None else ():
        if artifact.role == "baseline":
            raw = read_regular(folder.path / Path(artifact.path).name, _MAX_BYTES)
            try:
                return Baseline.model_validate(parsed(raw or b""))
            except ValidationError:
                return None
    return None
