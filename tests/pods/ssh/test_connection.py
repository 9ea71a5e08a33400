"""Open connections to a real sshd: commands, lost links, limits of sessions."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
import pytest

from pytest_wf.errors import (
    HostKeyError,
    LinkLost,
    TransportError,
    Unreachable,
)
from pytest_wf.pods.ssh import connection as ssh_connection
from pytest_wf.pods.ssh.connection import MAX_CHANNELS
from pytest_wf.pods.ssh.handshake import BoundedSocket
from tests.support.sshd import works
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


def test_the_socket_notices_a_dead_link(client: Client) -> None:
    connection = client.connect()
    sock = connection._link._transport.sock
    assert isinstance(sock, BoundedSocket)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
    connection.close()


@pytest.fixture
def late_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels of a broken link are closed a while before paramiko says that it is broken."""
    closing: Any = paramiko.Channel
    unlink = closing._unlink

    def unlinked_first(channel: paramiko.Channel) -> None:
        unlink(channel)
        time.sleep(0.3)

    monkeypatch.setattr(closing, "_unlink", unlinked_first)


@pytest.mark.parametrize("how", ["run", "read", "wait"])
def test_a_session_that_is_killed_is_a_lost_link_and_not_an_end(
    client: Client, how: str, tmp_path: Path, late_end: None
) -> None:
    begun = tmp_path / "begun"

    def kill() -> None:
        if how == "run":
            until(begun.exists, "the command has begun")
        client.server.cut_sessions()

    connection = client.connect()
    stream = connection.start(["sh", "-c", "echo ready; exec sleep 60"])
    assert stream.read(100, timeout_s=30) == b"ready\n"
    killer = threading.Thread(target=kill)
    killer.start()
    waiting: dict[str, Callable[[], object]] = {
        "run": lambda: connection.run(["sh", "-c", f"> {begun}; exec sleep 60"], timeout_s=30),
        "read": lambda: stream.read(100, timeout_s=30),
        "wait": lambda: stream.wait(30),
    }
    with pytest.raises(LinkLost, match=f"{client.server.port} broke"):
        waiting[how]()
    killer.join()
    until(lambda: not connection.is_alive(), "the link is known to be broken")
    with pytest.raises(LinkLost):
        connection.run(["true"], timeout_s=5)
    stream.close()
    connection.close()


def test_a_status_that_came_before_the_link_broke_counts(client: Client) -> None:
    connection = client.connect()
    stream = connection.start(["sh", "-c", "exit 3"])
    assert stream.wait(30) == 3
    client.server.cut_sessions()
    assert until(lambda: not connection.is_alive())
    assert stream.wait(5) == 3
    stream.close()
    connection.close()


def test_a_command_killed_by_a_signal_is_unknown_while_the_link_lives(client: Client) -> None:
    connection = client.connect()
    done = connection.run(["sh", "-c", "kill -9 $$"], timeout_s=30)
    assert done.returncode is None
    assert connection.is_alive()
    connection.close()


@pytest.mark.fault("N9")
def test_a_stopped_server_does_not_end_sessions_that_it_has(other: Client) -> None:
    connection = other.connect()
    other.server.stop()
    assert works(connection)


def test_a_frozen_host_is_given_up_at_the_commands_own_deadline(other: Client) -> None:
    connection = other.connect()
    connection.run(["true"], timeout_s=30)
    sessions = other.server.sessions()
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            connection.run(["true"], timeout_s=0.5)
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
    connection.close()


def test_commands_beyond_the_limit_wait_for_their_turn(client: Client) -> None:
    connection = client.connect()
    streams = [connection.start(["cat"]) for _ in range(MAX_CHANNELS)]
    with pytest.raises(TimeoutError, match="under way"):
        connection.run(["true"], timeout_s=0.2)
    opener = threading.Timer(0.2, streams[0].close)
    opener.start()
    assert connection.run(["echo", "my turn"], timeout_s=30).stdout == "my turn\n"
    opener.join()
    for stream in streams:
        stream.close()
    connection.close()


@pytest.mark.fault("N10")
def test_a_host_that_allows_fewer_sessions_is_given_further_links(
    client: Client, make_sshd: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_sshd("MaxSessions 1")
    connection = client.of(server).connect()
    for _ in range(2):  # a link that is free again is used again
        streams = [connection.start(["cat"]) for _ in range(MAX_CHANNELS)]
        for number, stream in enumerate(streams):
            stream.write(b"%d" % number)
            assert stream.read(10, timeout_s=30) == b"%d" % number
            stream.close()
        monkeypatch.setattr(ssh_connection, "_ROOM_S", 60.0)  # however late a session is free
    assert server.accepted() == MAX_CHANNELS
    connection.close()
    assert until(lambda: not server.sessions())


def test_a_further_link_that_breaks_does_not_end_the_others(
    client: Client, make_sshd: Callable[..., Sshd], late_end: None
) -> None:
    server = make_sshd("MaxSessions 1")
    connection = client.of(server).connect()
    first = connection.start(["cat"])
    before = set(server.sessions())
    second = connection.start(["cat"])
    for pid in set(server.sessions()) - before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(LinkLost):
        second.read(10, timeout_s=30)
    second.close()
    assert connection.is_alive()
    assert connection.run(["echo", "on"], timeout_s=30).stdout == "on\n"
    first.write(b"still here")
    assert first.read(10, timeout_s=30) == b"still here"
    first.close()
    connection.close()


def test_a_further_link_goes_to_the_host_that_was_verified_or_to_none(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxSessions 1")
    other = client.of(server)
    connection = other.connect(ssh_host_key_policy="accept-new")
    stream = connection.start(["cat"])
    server.new_host_key()
    server.restart()
    with pytest.raises(HostKeyError):
        connection.start(["cat"])
    stream.close()
    connection.close()


@pytest.mark.fault("N10")
def test_a_host_that_allows_no_sessions_says_so(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    connection = client.of(make_sshd("MaxSessions 0")).connect()
    with pytest.raises(Unreachable, match="refuses every session"):
        connection.run(["true"], timeout_s=30)
    connection.close()


def test_a_host_that_forbids_what_was_asked_answers_as_it_likes(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("ForceCommand echo only this")
    connection = client.of(server).connect()
    assert connection.run(["rm", "-rf", "x"], timeout_s=30).stdout == "only this\n"
    connection.close()


def test_input_that_crosses_with_a_commands_end_does_not_cost_the_connection(
    client: Client,
) -> None:
    connection = client.connect()
    failed: list[Exception] = []

    def work() -> None:
        try:
            for size in (0, 1, 100_000) * 8:
                assert connection.run(["true"], stdin=b"x" * size, timeout_s=60).ok
        except (TransportError, TimeoutError, AssertionError) as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    assert not failed
    assert "nonexistent channel" not in client.server.log()
