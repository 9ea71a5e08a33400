"""Readiness checks of real projects, loaded as P00 and `wf doctor` load them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.flow.extensions import installed
from pytest_wf.flow.readiness.finding import Finding
from pytest_wf.flow.readiness.local_checks import Controller
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options, Project

#: The findings of one check: status and text with its remedy.
Look = Callable[..., list[tuple[str, str]]]


def load(root: Path, **options: Any) -> Project:
    """The project in `root`."""
    return load_project(root, Options(**options), {}, installed().providers())


def controller_of(
    project: Project, *, interactive: bool = True, environ: Mapping[str, str] | None = None
) -> Controller:
    """This machine, as the checks see it."""
    found = os.environ if environ is None else environ
    return Controller(project, installed().providers(), interactive, found)


def told(findings: list[Finding], check: str) -> list[tuple[str, str]]:
    """What one check found."""
    return [(f.status, f.sentence) for f in findings if f.check == check]


def the_only(found: list[tuple[str, str]]) -> tuple[str, str]:
    """The one thing that a check found."""
    assert len(found) == 1, found
    return found[0]
