"""One authenticated link to a host, and the sessions on it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import LinkLost

if TYPE_CHECKING:
    import paramiko

#: What to do if a link broke.
LOST_REMEDY = "What was under way may have been done or not; ask the pod before repeating it."

#: paramiko closes the channels of a broken link a moment before it says that it is broken.
_SETTLE_S = 0.1

#: SSH_MSG_CHANNEL_CLOSE of RFC 4254.
_CLOSE = 97


class Link:
    """One authenticated link: the transport to the host and those of the hosts in between."""

    def __init__(self, address: str, transports: Sequence[paramiko.Transport]) -> None:
        self._address = address
        self._transports = tuple(transports)
        self._transport = transports[-1]
        self._closing = _DeferredClose(self._transport)
        #: What the host said when it refused a session.
        self.refusal = ""

    def is_alive(self) -> bool:
        """Whether it is not known to be dead."""
        return all(transport.is_active() for transport in self._transports)

    def close(self) -> None:
        """Close it. May be repeated."""
        for transport in reversed(self._transports):
            with suppress(Exception):  # it is given up: no one can act on this
                transport.close()
                transport.join(1.0)

    def wait(self, timeout_s: float) -> None:
        """Wait; ends at once if the link breaks."""
        self._transport.join(timeout_s)

    def session(self, end: float) -> paramiko.Channel | None:
        """A new session; None if the host allows no more of them on this link.

        Raises LinkLost, TimeoutError.
        """
        from pytest_wf.pods.ssh.library import paramiko

        late = TimeoutError(f"{self._address} opened no channel in time.")
        left = end - time.monotonic()
        if left <= 0:
            raise late
        try:
            return self._transport.open_session(timeout=left)
        except paramiko.ChannelException as e:
            self.refusal = e.text
            return None
        except (paramiko.SSHException, EOFError, OSError) as e:
            raise self.lost("a command was to be started", e) or late from e

    def ended(self, channel: paramiko.Channel) -> threading.Event:
        """Set when the host has closed `channel`."""
        return self._closing.of(channel)

    def lost(self, doing: str, cause: BaseException | None = None) -> LinkLost | None:
        """The error to raise if the link is dead; None if it is not."""
        if self._transport.is_active():
            self._transport.join(_SETTLE_S)
        return None if self._transport.is_active() else self.broken(doing, cause)

    def broken(self, doing: str, cause: BaseException | None = None) -> LinkLost:
        """The error to raise if the link is dead, whether paramiko says so yet or not."""
        cause = cause or self._transport.saved_exception
        why = f" ({cause})" if cause and str(cause) else ""
        return LinkLost(f"the link to {self._address} broke while {doing}{why}.", LOST_REMEDY)


class _DeferredClose:
    """Leaves the answer to a host's CLOSE to the thread that uses the channel.

    paramiko's own thread answers at once. What the user's thread sends a moment later (the end of
    stdin, data) then refers to a channel that is gone, and sshd closes the connection. One thread
    that sends everything on its channel keeps the order.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        self._ended: weakref.WeakKeyDictionary[paramiko.Channel, threading.Event]
        self._ended = weakref.WeakKeyDictionary()
        opened: Any = transport  # the table of handlers is private; nothing public does this
        table = dict(opened._channel_handler_table)
        self._answer: Callable[[paramiko.Channel, paramiko.Message], None] = table[_CLOSE]
        opened._channel_handler_table = {**table, _CLOSE: self._on_close}

    def of(self, channel: paramiko.Channel) -> threading.Event:
        """Set when the host has closed `channel`; from now on we answer it ourselves."""
        return self._ended.setdefault(channel, threading.Event())

    def _on_close(self, channel: paramiko.Channel, message: paramiko.Message) -> None:
        ended = self._ended.get(channel)
        if ended is None or channel.closed:
            self._answer(channel, message)
            return
        ended.set()
        channel.event.set()
        channel.status_event.set()
        channel.in_buffer.close()
        channel.in_stderr_buffer.close()
