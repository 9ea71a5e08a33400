"""A project that is ready, and what the local checks find in it after a change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.flow.operations.precheck import local_findings
from pytest_wf.testing import write_project
from tests.support.readiness import Look, controller_of, load, told


@pytest.fixture
def root(tmp_path: Path, client_home: Path) -> Path:
    """A project that is ready, in its own repository; HOME is empty."""
    (tmp_path / "project").mkdir()
    return write_project(tmp_path / "project")


@pytest.fixture
def configure(root: Path) -> Callable[..., None]:
    """Sets keys of the config; '' takes one out."""

    def set_keys(**keys: str) -> None:
        path = root / "flows" / "workflow.env"
        lines = [li for li in path.read_text().splitlines() if li.partition("=")[0] not in keys]
        lines += [f"{key}={value}" for key, value in keys.items() if value]
        path.write_text("\n".join([*lines, ""]))

    return set_keys


@pytest.fixture
def look(root: Path) -> Look:
    """What one local check finds in the project now."""

    def find(check: str, **kwargs: Any) -> list[tuple[str, str]]:
        options = {k: kwargs.pop(k) for k in ("fetch", "sweep", "teardown", "wait") if k in kwargs}
        findings = local_findings(controller_of(load(root, **options), **kwargs))
        return told(findings, check)

    return find
