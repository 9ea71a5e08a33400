"""Whole flows on real pods."""

from __future__ import annotations

import pytest

from pytest_wf.testing import write_project
from tests.support import environment
from tests.support.flow_project import FlowRun, Project


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, FlowRun]:
    """A project with a signing key (`key.pem`), and a flow in it that fetched its results."""
    base = tmp_path_factory.mktemp("signed")
    (base / "project").mkdir()
    project = Project(write_project(base / "project"), environment.clean_environ(base / "home"))
    made = project.wf("keygen", "key.pem")
    assert made.returncode == 0, made.stderr
    project.configure(WF_SIGNING_KEY_FILE="key.pem")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    return project, flown
