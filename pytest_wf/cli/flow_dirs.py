"""Folders of a project's flows: those that were named, otherwise those that exist."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pytest_wf.cli.context import Context
from pytest_wf.errors import InputError, Problem
from pytest_wf.evidence import chain
from pytest_wf.project.project import find_root

_USUAL = Path("reports/flows")


def flow_dirs_of(named: Sequence[Path], *, newest: bool) -> list[Path]:
    """The folders that were `named`; without any, the newest flow of the project, or all of them.

    The ids of flows begin with their time, so the last one is the newest.

    Raises InputError if none is named and none exists.
    """
    if named:
        return list(named)
    place = evidence_dir(Path.cwd())
    found = sorted(filter(_is_flow, _folders(place)))[-1 if newest else 0 :]
    if not found:
        reason = "no flow has left evidence there."
        remedy = "Name a folder such as reports/flows/<flow_id>."
        raise InputError([Problem("flow folder", None, str(place), None, reason, remedy)])
    return found


def _folders(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir()]
    except OSError:
        return []


def _is_flow(folder: Path) -> bool:
    try:
        return chain.is_flow(os.listdir(folder))
    except OSError:
        return False


def evidence_dir(cwd: Path) -> Path:
    """The folder where the project around `cwd` keeps the evidence of its flows; the default folder
    if that is not known."""
    try:
        project = Context.open(cwd).project
    except InputError:
        return find_root(cwd) / _USUAL
    return project.root / project.config.wf_flow_evidence_dir
