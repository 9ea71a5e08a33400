"""Hosts that do not answer as an SSH server, or end the handshake."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import (
    Unreachable,
)
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A login at a port of this machine, where `answer` takes one connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def accept() -> None:
            # a client that has left may have done so with data unread, which resets the connection
            with closing(listener.accept()[0]) as sock, suppress(ConnectionError):
                answer(sock)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"root@127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.fault("N10", "N13")
@pytest.mark.parametrize(
    "banner", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-silent\r\n"]
)
def test_a_server_that_falls_silent_is_given_up_in_time_without_a_traceback(
    client: Client, banner: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def fall_silent(sock: socket.socket) -> None:
        sock.sendall(banner)
        sock.settimeout(60)
        while sock.recv(4096):
            pass

    with (
        listening(fall_silent) as login,
        pytest.raises(Unreachable, match="does not answer as an SSH server"),
    ):
        client.connect(ops_default_host=login, ssh_connect_timeout_secs=1)
    assert caplog.text == ""


def test_a_host_that_ends_the_connection_is_not_called_late(client: Client) -> None:
    with (
        listening(socket.socket.close) as login,
        pytest.raises(Unreachable, match="as an SSH server: "),
    ):
        client.connect(ops_default_host=login)


@pytest.mark.fault("N13")
@pytest.mark.parametrize("sent", [b"x" * 65536, b"x\n" * 32768, b"SSH-2.0-x\r\n" + b"\xff" * 65536])
def test_a_host_that_sends_without_end_is_given_up_at_once(client: Client, sent: bytes) -> None:
    total = 0

    def flood(sock: socket.socket) -> None:
        nonlocal total
        with suppress(OSError):
            while total < 1 << 30:
                total += sock.send(sent)

    refused = pytest.raises(Unreachable, match="does not answer as an SSH server")
    with listening(flood) as login, refused:
        client.connect(ops_default_host=login)
    assert total < 64 << 20  # what the kernel's buffers took


@pytest.mark.fault("N13")
def test_a_link_that_is_reset_in_the_key_exchange_is_unreachable(client: Client) -> None:
    def reset(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-x\r\n")
        sock.recv(4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with (
        listening(reset) as login,
        pytest.raises(Unreachable, match="does not answer as an SSH server"),
    ):
        client.connect(ops_default_host=login)


@pytest.mark.fault("N10")
def test_a_host_with_too_many_logins_under_way_is_unreachable_in_its_own_words(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("MaxStartups 1")
    with ExitStack() as waiting:

        def waits() -> bool:
            sock = waiting.enter_context(socket.create_connection((server.host, server.port)))
            return sock.recv(100).startswith(b"SSH-")

        assert until(waits)
        with pytest.raises(Unreachable, match="it said: Exceeded MaxStartups"):
            client.of(server).connect()


def test_a_host_that_offers_old_algorithms_only_is_told_from_a_silent_one(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(key)], check=True)
    server = make_sshd("HostKeyAlgorithms ssh-rsa\nHostKey " + str(key))
    with pytest.raises(Unreachable, match="no algorithm in common"):
        client.of(server).connect()


def test_a_host_that_ends_the_key_exchange_is_said_to_have_done_so(
    client: Client, make_sshd: Callable[..., Sshd]
) -> None:
    server = make_sshd("HostKeyAlgorithms rsa-sha2-256")  # of which it has no key
    with pytest.raises(Unreachable, match=r"as an SSH server: (closed|.*reset)"):
        client.of(server).connect()
