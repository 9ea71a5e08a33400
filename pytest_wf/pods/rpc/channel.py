"""The channel to one running agent, for one request at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Stream
from pytest_wf.pods.rpc.launch import Silent
from pytest_wf.wire import messages
from pytest_wf.wire.files import BadJson, parse_json
from pytest_wf.wire.safe_text import CONTROLS

#: The longest single wait: time in which this process was stopped counts at most as one of them.
SLICE_S = 5.0
_READ_BYTES = 1 << 18


class Channel:
    """The stream to one agent. Used by one thread at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = bytearray()
        #: False if an exchange was interrupted: the next line may be incomplete.
        self.is_whole = True

    def ask(
        self,
        id: str,
        line: bytes,
        *,
        timeout_s: float,
        silence_s: float,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        """Send a request line and return its answer's result.

        Lines of other requests are skipped: they were given up. Raises OperationFailed for a
        refusal and for a violation of the protocol ('agent-broken'), TimeoutError past `timeout_s`,
        LinkLost if the agent is gone, `Silent` after `silence_s` without a byte.
        """
        end = awake_s() + timeout_s
        self.is_whole = False
        try:
            self._write(line)
        except LinkLost as e:
            raise self._gone(e) from e
        while True:
            body = self._next(end, silence_s)
            if body.get("id") != id:
                continue
            if "event" in body:
                if on_event is not None and isinstance(body["event"], dict):
                    on_event(clean(body["event"]))
                continue
            self.is_whole = True
            if body.get("ok") is True and isinstance(body.get("result"), dict):
                result: dict[str, Any] = clean(body["result"])
                return result
            raise _refusal(clean(body))

    def stderr_tail(self) -> str:
        """The end of the agent's stderr."""
        text: str = clean(self._stream.stderr_tail())
        return text

    def close(self) -> None:
        """End the channel; the agent finishes what changes the pod and exits."""
        self._stream.close()

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except TimeoutError:
            raise Silent("the pod took no input") from None

    def _next(self, end: float, silence_s: float) -> dict[str, Any]:
        raw = self._line(end, silence_s)
        try:
            body = parse_json(raw, messages.MAX_LINE_BYTES)
        except BadJson as e:
            raise _broken(f"{e}: {clean(raw[:200].decode('utf-8', 'replace'))!r}") from None
        if not isinstance(body, dict):
            raise _broken("its answer is not a JSON object")
        return body

    def _line(self, end: float, silence_s: float) -> bytes:
        searched = 0
        while True:
            at = self._held.find(b"\n", searched)
            if at >= 0:
                line = bytes(self._held[:at])
                del self._held[: at + 1]
                return line
            searched = len(self._held)
            if searched > messages.MAX_LINE_BYTES:
                raise _broken("its answer is longer than any answer may be")
            self._held += self._read(end, silence_s)

    def _read(self, end: float, silence_s: float) -> bytes:
        silent_at = awake_s() + silence_s
        while True:
            now = awake_s()
            if now >= end:
                # the pod continues the request; a late answer is recognised by its id
                self.is_whole = True
                raise TimeoutError
            if now >= silent_at:
                raise Silent(f"the pod was silent for {silence_s:g} s")
            left = min(end, silent_at) - now
            with contextlib.suppress(TimeoutError):
                piece = self._stream.read(_READ_BYTES, timeout_s=min(left, SLICE_S))
                if not piece:
                    raise self._gone(None)
                return piece

    def _gone(self, lost: LinkLost | None) -> LinkLost:
        """Why the stream ended, with the agent's own last output if there is any."""
        if lost is not None:
            with contextlib.suppress(LinkLost, TimeoutError):
                while self._stream.read(_READ_BYTES, timeout_s=0.5):
                    pass
        said = self.stderr_tail().strip()[-500:]
        if lost is not None and not said:
            return lost
        return LinkLost("the pod's agent is gone" + (f": {said}" if said else ""))


def clean(value: Any) -> Any:
    """A JSON value from the pod without characters that could steer a terminal."""
    if isinstance(value, str):
        return value if value.isprintable() else CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def _refusal(body: Mapping[str, Any]) -> OperationFailed:
    error = body.get("error")
    if body.get("ok") is not False or not isinstance(error, dict):
        return _broken("its answer is neither a result nor a refusal")
    kind, message = error.get("kind"), error.get("message")
    remedy, facts = error.get("remedy"), error.get("facts")
    if not (isinstance(kind, str) and isinstance(message, str) and isinstance(remedy, str)):
        return _broken("its refusal has no kind")
    return OperationFailed(kind, message, remedy, facts if isinstance(facts, dict) else None)


def _broken(why: str) -> OperationFailed:
    return OperationFailed(
        "agent-broken",
        f"the pod's agent does not keep to the protocol: {why}",
        "Nothing is known of what it did. Look at the pod.",
    )
