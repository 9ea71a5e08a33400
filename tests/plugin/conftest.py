"""A small project of its own for every test of the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.testing import write_project


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A committed project on the local pod, two rows, in the test's folder."""
    return write_project(pytester.path)
