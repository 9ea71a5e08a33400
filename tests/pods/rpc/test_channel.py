"""Answers of a pod that break the protocol, or belong to others."""

from __future__ import annotations

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.channel import clean
from tests.support.scripted_agent import CountingConnection, Start, scripted


@pytest.mark.parametrize(
    "lines",
    [
        "print('Segmentation fault')",
        "print('[1]')",
        "print(json.dumps({'id': id, 'ok': 'yes', 'result': {}}))",
        "print(json.dumps({'id': id, 'ok': True, 'result': []}))",
        "print(json.dumps({'id': id, 'ok': False, 'error': {'kind': 1}}))",
        'print(\'{"id":"%s","ok":true,"ok":true,"result":{}}\' % id)',
        "print('[' * 100000)",
        "print('{\"id\": NaN}')",
    ],
)
def test_what_is_not_the_protocol_is_neither_success_nor_retried(
    start: Start, connection: CountingConnection, values: dict[str, str], lines: str
) -> None:
    connection.replace = lambda argv: scripted(lines)
    client = start(connection, values)

    with pytest.raises(OperationFailed) as failed:
        client.request("state", timeout_s=60)

    assert failed.value.kind == "agent-broken"
    assert len(connection.started) == 1


def test_answers_to_others_are_skipped(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    lines = "[print(json.dumps({'id': i, 'ok': True, 'result': {'for': i}})) for i in ('x', id)]"
    connection.replace = lambda argv: scripted(lines)

    client = start(connection, values)

    assert client.request("state", id="mine") == {"for": "mine"}


def test_text_of_the_pod_cannot_steer_a_terminal(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    lines = (
        "print(json.dumps({'id': id, 'ok': False, 'error': {'kind': 'install', 'message': "
        "'\\x1b]0;owned\\x07\\x1b[2J\\u009bA\\tok\\u202e\\u2066\\n', "
        "'remedy': '', 'facts': {'\\x1b': ['\\r']}}}))"
    )
    connection.replace = lambda argv: scripted(lines)

    with pytest.raises(OperationFailed) as failed:
        start(connection, values).request("state")

    assert failed.value.message == "�]0;owned��[2J�A\tok��\n"
    assert failed.value.facts == {"�": ["�"]}
    assert clean("schön 😀") == "schön 😀"
