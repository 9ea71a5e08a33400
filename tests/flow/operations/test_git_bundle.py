"""The bundle of this checkout, for ``REPO_URL=.``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.flow.operations.git_bundle import bundled
from tests.support.repository import Upstream


def test_another_repository_in_the_environment_is_not_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = Upstream(tmp_path / "mine"), Upstream(tmp_path / "other")
    expected, _ = mine.head, other.commit("train.py", "print('the wrong one')\n")
    # as in a hook of `other`
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git/index"))

    with bundled(mine.path) as bundle:
        assert bundle.git_sha == expected
        assert not bundle.uncommitted
