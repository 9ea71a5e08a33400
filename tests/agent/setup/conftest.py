"""A checkout on a bootstrapped pod, and the image's python that it finds there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from tests.support.image_python import make_image
from tests.support.repository import Upstream


@pytest.fixture
def repo(settings: Settings) -> Path:
    """The checkout's folder on the pod."""
    return Path(settings.repo)


@pytest.fixture
def checkout(
    act: Callable[..., Any], upstream: Upstream, settings: Settings
) -> Callable[..., dict[str, Any]]:
    """Checks out `upstream` with further keys: ``checkout(CHECKOUT_BRANCH="main")``."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")

    def run(args: dict[str, Any] | None = None, **keys: str) -> dict[str, Any]:
        done: dict[str, Any] = act(
            "checkout", keys={"REPO_URL": str(upstream.path), **keys}, **(args or {})
        )
        return done

    return run


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's python: a virtual environment of its own, which may hold a torch."""
    return make_image(tmp_path / "image")
