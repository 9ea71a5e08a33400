"""Hosts that cannot be reached, trusted or used: what the halt tells leads on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.hints import halt
from tests.support.sshd import Sshd


@pytest.fixture
def remote(project: Any, over_ssh: Callable[..., Any]) -> Any:
    """A project whose pod is the test's own SSH server."""
    over_ssh(project)
    project.configure(SSH_CONNECT_TIMEOUT_SECS="2", POD_WAIT_MAX_SECS="2", POD_SILENCE_MAX_SECS="2")
    return project


@pytest.mark.failure("unreachable")
def test_a_host_that_is_down(remote: Any, sshd: Sshd) -> None:
    sshd.stop()
    try:
        hint = halt(remote, "unreachable")
    finally:
        sshd.start()
    hint.leads_on()
