from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.logins import LoggedIn, Login

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


@pytest.fixture
def other(client: Client, make_sshd: Callable[..., Sshd]) -> Iterator[Client]:
    """A client of a server of its own, for tests that change the server."""
    server = make_sshd()
    yield client.of(server)
    server.stop()


@pytest.fixture
def log_in(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> Iterator[Callable[..., LoggedIn]]:
    """Makes logins; takes what `Login` does."""
    made: list[LoggedIn] = []

    def make(**words: Any) -> LoggedIn:
        login = Login(tmp_path / f"host{len(made)}", make_sshd, **words)
        behind = client.of(login.server)
        made.append(LoggedIn(behind, tmp_path / f"pod{len(made)}", login))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()
