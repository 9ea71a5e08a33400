"""One authenticated SSH connection and the commands that go over it.

Commands go through channels of our own: `SSHClient.exec_command` from several threads gets
the whole connection cut, and a channel's exit status alone cannot tell a killed command from
a broken link.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_wf.errors import LinkLost, Unreachable
from pytest_wf.pods.base import Completed, Target
from pytest_wf.pods.ssh.link import Link
from pytest_wf.pods.ssh.remote_command import remote_command
from pytest_wf.pods.streams import CHUNK_BYTES, PipedStream, check_argv, run_to_end

if TYPE_CHECKING:
    import paramiko

#: The most commands at once on one connection; sshd refuses the eleventh (MaxSessions), other
#: servers allow fewer.
MAX_CHANNELS = 4

#: How long `start` waits for one of them to be free, and for the command to be accepted.
START_TIMEOUT_S = 20.0

#: Seconds to wait for a session on the existing links before another one is opened.
_ROOM_S = 0.3

#: Seconds between two reads of the outputs while a sender waits for space.
_SLICE_S = 0.02


class SshConnection:
    """The link to one pod, and further ones if its host allows too few sessions on one.

    `another` makes a further link: the transports to the host and to those in between.
    """

    def __init__(
        self,
        target: Target,
        address: str,
        transports: Sequence[paramiko.Transport],
        facts: Mapping[str, str],
        another: Callable[[], Sequence[paramiko.Transport]],
    ) -> None:
        self.target = target
        self._address = address
        self._link = Link(address, transports)
        self._further: list[Link] = []
        self._another = another
        self._facts = dict(facts)
        self._slots = threading.BoundedSemaphore(MAX_CHANNELS)
        self._adding = threading.Lock()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float,
        max_bytes: int = 4 * 1024 * 1024,
    ) -> Completed:
        """Run `argv` to its end; waits its turn if `MAX_CHANNELS` are under way.

        Raises TimeoutError (the channel is closed, which ends a command only if it reads or
        writes) and LinkLost.
        """
        end = time.monotonic() + timeout_s
        pipes = self._open(argv, end)
        try:
            return run_to_end(pipes, argv, stdin=stdin, end=end, max_bytes=max_bytes)
        finally:
            pipes.close()

    def start(self, argv: Sequence[str]) -> PipedStream:
        """Start `argv`; the stream holds one of `MAX_CHANNELS` channels until it is closed.

        Raises TimeoutError if none becomes free, and LinkLost.
        """
        return PipedStream(self._open(argv, time.monotonic() + START_TIMEOUT_S))

    def is_alive(self) -> bool:
        """Whether the link is not known to be dead."""
        return self._link.is_alive()

    def facts(self) -> dict[str, str]:
        """Address, host key, cipher and the like."""
        return dict(self._facts)

    def close(self) -> None:
        """Close the links, and those that they go through. May be repeated."""
        for link in (*self._further, self._link):
            link.close()

    def _open(self, argv: Sequence[str], end: float) -> _ChannelPipes:
        argv = check_argv(argv)
        command = remote_command(argv)
        if not self._slots.acquire(timeout=max(0.0, end - time.monotonic())):
            raise TimeoutError(
                f"'{argv[0]}' was not started: {MAX_CHANNELS} commands are under way on "
                f"{self._address}."
            )
        try:
            link, channel = self._channel(end)
            name = f"'{argv[0]}' on {self._address}"
            pipes = _ChannelPipes(name, channel, link, self._slots.release)
        except BaseException:
            self._slots.release()
            raise
        try:
            pipes.execute(command, end)
        except BaseException:
            pipes.close()
            raise
        return pipes

    def _channel(self, end: float) -> tuple[Link, paramiko.Channel]:
        """A session on the first link that has room for one; on a new one if none has."""
        patience = min(end, time.monotonic() + _ROOM_S)
        while True:
            self._further = [link for link in self._further if link.is_alive()]
            for link in (self._link, *self._further):
                try:
                    channel = link.session(end)
                except LinkLost:
                    if link is self._link:
                        raise
                    continue  # it has just broken; the others have not
                if channel is not None:
                    return link, channel
            # a host frees a session a moment after its end
            if time.monotonic() < patience:
                self._link.wait(0.1)
            elif self._adding.acquire(timeout=max(0.0, end - time.monotonic())):
                try:
                    return self._on_another(end)
                finally:
                    self._adding.release()

    def _on_another(self, end: float) -> tuple[Link, paramiko.Channel]:
        link = Link(self._address, self._another())
        channel = link.session(end)
        if channel is None:
            link.close()
            raise Unreachable(
                f"{self._address} refuses every session: {link.refusal}.",
                "Allow sessions in its sshd_config (MaxSessions), or use another login.",
            )
        self._further.append(link)
        return link, channel


class _News(threading.Event):
    """Set when either output has something.

    paramiko clears an event when *one* buffer is empty; only the reader may decide that.
    """

    def clear(self) -> None:
        """Ignore paramiko's call."""

    def forget(self) -> None:
        """Clear it, before looking at both outputs."""
        super().clear()


class _BoundedEvent(threading.Event):
    """An event whose wait has a time limit: paramiko waits for a host's answer for ever."""

    def __init__(self, end: float, name: str) -> None:
        super().__init__()
        self._end = end
        self._name = name

    def wait(self, timeout: float | None = None) -> bool:
        """Raises TimeoutError past the end."""
        if not super().wait(max(0.0, self._end - time.monotonic())):
            raise TimeoutError(f"{self._name} was not accepted in time.")
        return True


class _ChannelPipes:
    """The raw ends of a command on a channel of its own."""

    def __init__(
        self,
        name: str,
        channel: paramiko.Channel,
        link: Link,
        release: Callable[[], None],
    ) -> None:
        self.name = name
        self._channel = channel
        self._ended = link.ended(channel)
        self._link = link
        self._release: Callable[[], None] | None = release
        self._input_open = True
        self._news = _News()
        channel.in_buffer.set_event(self._news)
        channel.in_stderr_buffer.set_event(self._news)

    def execute(self, command: bytes, end: float) -> None:
        """Start `command`. Raises LinkLost, TimeoutError, Unreachable."""
        from pytest_wf.pods.ssh.library import paramiko

        self._channel.event = _BoundedEvent(end, self.name)
        try:
            self._channel.exec_command(command)
        except TimeoutError:
            raise
        except (paramiko.SSHException, EOFError, OSError) as e:
            raise self._link.lost(f"{self.name} was started") or Unreachable(
                f"{self.name} was refused: {e}",
                "The login must allow commands (no ForceCommand, no restricted shell).",
            ) from e

    def exchange(self, data: memoryview, wait_s: float) -> tuple[int, bytes, bytes]:
        """Send and receive what is possible, after at most `wait_s` seconds."""
        end = time.monotonic() + wait_s
        sending_s = 0.0
        while True:
            self._news.forget()
            over = self._over()
            channel = self._channel
            out = self._take(channel.recv) if channel.recv_ready() else b""
            err = self._take(channel.recv_stderr) if channel.recv_stderr_ready() else b""
            if out or err:
                sending_s = 0.0
            sending = bool(data) and self.accepts_input()
            sent = self._send(data, sending_s) if sending else 0
            left = end - time.monotonic()
            if out or err or sent or over or left <= 0:
                return sent, out, err
            if sending:
                sending_s = min(left, _SLICE_S)
            else:
                self._news.wait(left)

    def accepts_input(self) -> bool:
        """Whether the channel takes input."""
        return self._input_open and not self._channel.closed and not self._ended.is_set()

    def close_input(self) -> None:
        """Send the end of stdin."""
        if self._input_open:
            self._input_open = False
            try:
                self._channel.shutdown_write()
            except (OSError, EOFError):
                pass  # the link broke; reading says so

    def ended(self) -> bool:
        """Whether both outputs were read to their end."""
        over = self._over()  # first: what came before the end is then in the buffers
        if not over or self._channel.recv_ready() or self._channel.recv_stderr_ready():
            return False
        if not self._channel.eof_received:
            self._raise_if_lost()
        return True

    def exited(self, wait_s: float) -> bool:
        """Whether an exit status has arrived, or none can arrive any more."""
        return self._channel.status_event.wait(wait_s)

    def status(self) -> int | None:
        """The exit status; None if the host did not give one: killed by a signal."""
        status = self._channel.recv_exit_status()
        if status != -1:
            return status
        self._raise_if_lost()
        if lost := self._link.lost(f"{self.name} was under way"):
            raise lost
        return None

    def close(self) -> None:
        """Close the channel and free its slot."""
        release, self._release = self._release, None
        self._input_open = False
        if release is None:
            return
        with suppress(Exception):  # it is given up: no one can act on this
            self._channel.close()
        release()

    def _over(self) -> bool:
        return bool(self._channel.eof_received or self._channel.closed or self._ended.is_set())

    def _raise_if_lost(self) -> None:
        """Raise LinkLost if the channel was closed neither by the host nor by us."""
        if not self._ended.is_set() and self._release:
            raise self._link.broken(f"{self.name} was under way")

    def _take(self, recv: Callable[[int], bytes]) -> bytes:
        try:
            return recv(CHUNK_BYTES)
        except (OSError, EOFError) as e:
            # paramiko acknowledges data when it returns it, and drops the data if it cannot: later
            # data must not be taken for the next part
            raise self._link.broken(f"{self.name} was under way") from e

    def _send(self, data: memoryview, wait_s: float) -> int:
        self._channel.settimeout(wait_s)
        try:
            sent = self._channel.send(bytes(data[:CHUNK_BYTES]))
        except TimeoutError:
            return 0
        except (OSError, EOFError):
            sent = 0
        if not sent:
            self._input_open = False
        return sent
