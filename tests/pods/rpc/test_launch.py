"""Starting the agent through logins that print, and without a usable Python."""

from __future__ import annotations

import pytest

from pytest_wf.errors import OperationFailed
from tests.support.scripted_agent import CountingConnection, Start


def test_a_login_that_prints_is_no_obstacle(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: ["sh", "-c", 'echo "Welcome!"; echo; exec "$@"', "sh", *argv]

    assert start(connection, values).request("state")["state"] == "INIT"


def test_a_login_that_prints_without_end_is_one(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: ["yes", "Welcome!"]

    with pytest.raises(OperationFailed, match="prints without end"):
        start(connection, values)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["sh", "-c", "echo python3: not found >&2; exit 127"], "python3: not found"),
        (["echo", "wf-agent bad not-a-pod python3 is older than 3.8: 3.6.9"], "older than 3.8"),
    ],
    ids=["no python", "an old python"],
)
def test_a_machine_without_a_usable_python_is_no_pod(
    start: Start, connection: CountingConnection, values: dict[str, str], argv: list[str], why: str
) -> None:
    connection.replace = lambda _: argv

    with pytest.raises(OperationFailed, match=why) as failed:
        start(connection, values)

    assert failed.value.kind == "not-a-pod"
