"""The controller's end of the agent: requests, over links that may break."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pytest_wf.errors import LinkLost, OperationFailed, TransportError, Unreachable
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Connection, EffectLog, NoLog, Stream
from pytest_wf.pods.patience import TRY_S, Patience, PodLost
from pytest_wf.pods.rpc import agent_zipapp
from pytest_wf.pods.rpc.bulk_stream import BulkStream
from pytest_wf.pods.rpc.channel import Channel, clean
from pytest_wf.pods.rpc.launch import LaunchedStream, NotStarted, Silent
from pytest_wf.pods.rpc.phase_states import PhaseStates
from pytest_wf.wire import messages, operations
from pytest_wf.wire.files import BadJson, canonical_json, parse_json, sha256_file

#: Pauses between attempts; the last one repeats.
_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0)
#: After so many agents in a row that end without an answer, no further one is started.
_MAX_CRASHES = 4
_PIECE_BYTES = 1 << 18
#: How long an agent that is there may take for an answer, before another one is started.
_AT_ONCE_S = 0.5
#: For how long an interrupted upload is begun anew; likewise the start of an agent.
_UPLOAD_TIMEOUT_S = _OPEN_TIMEOUT_S = 3600.0
#: Longer texts of a request are not written into the log of effects.
_MAX_TOLD_CHARS = 200
_MAX_TOLD = 40
#: The most findings about damage on the pod that are kept.
_MAX_FINDINGS = 100
#: A deletion leaves no state to read, and a log has none. A poll that waits is not asked either: it
#: is sent again and again, and reading the state of a large campaign takes long.
_WITHOUT_STATES = frozenset({operations.DELETE, operations.LOG})
#: Arguments that carry a file.
_FILES = frozenset({"data", "manifest_csv"})

T = TypeVar("T")


class AgentClient:
    """Sends requests to the agent of one pod, which it starts; thread-safe, one request at a time.

    Every request has an id. When the link breaks, it is opened again by `reconnect` and
    the request is repeated under its id, as long as `patience` lasts: the agent does nothing
    twice. An interrupted request (Ctrl-C, a time-out) leaves the client usable. The constructor
    starts the agent and raises TransportError or OperationFailed.
    """

    def __init__(
        self,
        connection: Connection,
        settings: Mapping[str, str],
        *,
        write_nothing: bool = False,
        reconnect: Callable[[], Connection] | None = None,
        log: EffectLog | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._connection = connection
        self._settings = dict(settings)
        self._reconnect = reconnect
        self._log: EffectLog = log or NoLog()
        self._patience = patience or Patience()
        self._agent, self._sha256 = agent_zipapp.build()
        folder = self._settings["OPS_REMOTE_OUTPUTS_DIR"].rstrip("/") + "/_control/agent"
        #: The agent's path on the pod; '' if nothing may be written there.
        self.agent_path = "" if write_nothing else f"{folder}/{self._sha256}.pyz"
        self._channel: Channel | None = None
        self._lock = threading.RLock()
        #: The lease's fencing token, sent with every request.
        self.token: int | None = None
        #: Requests that were sent, repeated ones included.
        self.round_trips = 0
        #: The pod's findings about damaged control files, one sentence each.
        self.findings: list[str] = []
        #: Where the pod's state before and after each request is noted; None for nowhere.
        self.states: PhaseStates | None = None
        #: The facts that the pod reported when the agent started.
        self.hello: dict[str, Any] = {}
        with self._lock:
            self._insist("open", _OPEN_TIMEOUT_S, lambda left_s: self._open_channel())

    def request(
        self,
        op: str,
        args: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 60,
        id: str | None = None,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        token: int | None = None,
    ) -> dict[str, Any]:
        """Request `op` and return its result.

        `id` names the request; the same id is the same request, whoever sends it. Raises
        OperationFailed for a refusal, for an agent that is broken, and ('timeout') past
        `timeout_s`; LinkLost if the link could not be opened again: then it is unknown whether the
        request was carried out.
        """
        id = id or f"r-{uuid.uuid4().hex}"
        token = self.token if token is None else token
        sent = dict(args or {})

        states = self.states if op not in _WITHOUT_STATES and not sent.get("wait_s") else None

        def hear(event: Mapping[str, Any]) -> None:
            if isinstance(event.get("finding"), str):
                self._find(event["finding"])
            elif states is not None and "states" in event:
                states.hear(event)
            elif on_event is not None:
                on_event(event)

        def ask(left_s: float) -> dict[str, Any]:
            channel = self._open_channel()
            self.round_trips += 1
            if self.states is not None and op != operations.LOG:
                self.states.sent()
            line = messages.request(id, op, sent, token, states is not None)
            if "wait_s" in sent:
                sent["wait_s"] = 0  # if it is sent again: the next link may not last as long
            silence_s = self._patience.silence_s
            return channel.ask(id, line, timeout_s=left_s, silence_s=silence_s, on_event=hear)

        def insist() -> dict[str, Any]:
            try:
                return self._insist(op, timeout_s, ask)
            except TimeoutError:
                why = f"'{op}' did not end on the pod within {timeout_s:g} s."
                self._patience.silent(why, timeout_s)
                raise OperationFailed(
                    "timeout",
                    why,
                    "It may still be under way there; look at `wf fsm-status`.",
                    {"id": id, "op": op},
                ) from None

        with self._lock:
            if op in operations.NOT_LOGGED:
                return insist()
            with self._log.effect(op, {"request": id, **_told(args or {})}) as outcome:
                result = insist()
                outcome.update(_told(result))
                return result

    def archive(self) -> Stream:
        """Start an agent that waits for one `archive_request` and then sends files.

        Start it early: this takes a pod longer than the first files do.
        """
        with self._lock:
            return self._insist(
                "archive", _OPEN_TIMEOUT_S, lambda left_s: self._run_agent("archive")
            )

    def archive_request(self, runs: Sequence[tuple[str, Sequence[Sequence[object]]]]) -> bytes:
        """The request for files ([path, size, mtime_ns, offset]) of `runs`, as in `wire.packs`.

        Files are compressed where that pays, which it never does for a pod on this machine.
        """
        codings = [] if self._connection.target.transport == "local" else ["zlib"]
        asked = {"settings": self._settings, "runs": runs, "codings": codings}
        return canonical_json(asked) + b"\n"

    def upload(self, path: str, source: str) -> None:
        """Copy the local file `source` to `path` on the pod; whole and verified, or not at all.

        Raises OperationFailed if the pod refuses it, LinkLost.
        """
        size, sha256 = Path(source).stat().st_size, sha256_file(source)
        facts = {"path": path, "bytes": size, "sha256": sha256}
        with self._lock, self._log.effect("upload", facts):
            self._insist(
                "upload",
                _UPLOAD_TIMEOUT_S,
                lambda left_s: self._upload_once(path, source, size, sha256),
            )

    def close(self) -> None:
        """End the agent's channel; the connection stays. Never raises, may be repeated."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _find(self, finding: str) -> None:
        if finding not in self.findings and len(self.findings) < _MAX_FINDINGS:
            self.findings.append(finding)

    def _upload_once(self, path: str, source: str, size: int, sha256: str) -> None:
        self._open_channel()
        stream = self._run_agent("receive", path, str(size), sha256)
        try:
            with open(source, "rb") as f:
                for piece in iter(lambda: f.read(_PIECE_BYTES), b""):
                    stream.write(piece)
            stream.close_stdin()
            said = b""
            # another process of the login may hold the stream open after that line
            while b"\n" not in said and (piece := stream.read(_PIECE_BYTES, timeout_s=60)):
                said = (said + piece)[:_PIECE_BYTES]
            answer = parse_json(said)
        except BadJson:
            raise LinkLost(f"the pod did not say that it has {path}") from None
        finally:
            stream.close()
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise _refused(path, answer)

    def _run_agent(self, *words: str) -> Stream:
        if not self.agent_path:
            raise OperationFailed(
                "not-in-contract", "nothing may be copied where nothing may be written."
            )
        return BulkStream(self._launch(*words), self._connection, self._patience)

    def _launch(self, *words: str) -> LaunchedStream:
        return LaunchedStream(self._connection, self.agent_path, self._agent, self._sha256, *words)

    def _open_channel(self, silence_s: float | None = None) -> Channel:
        if self._channel is not None and not self._channel.is_whole:
            self._channel.close()
            self._channel = None
        if self._channel is None:
            with self._log.effect("agent-start", {"agent_sha256": self._sha256}):
                self._channel = self._new_channel(silence_s or self._patience.silence_s)
        return self._channel

    def _new_channel(self, silence_s: float) -> Channel:
        stream = self._launch("serve")
        channel = Channel(stream)
        try:
            self._begin(stream, silence_s)
            id = f"open-{uuid.uuid4().hex}"
            line = messages.request(id, operations.OPEN, {"settings": self._settings})
            self.round_trips += 1
            self.hello = channel.ask(id, line, timeout_s=silence_s, silence_s=silence_s)
        except TimeoutError:
            channel.close()
            raise Silent("the agent did not answer when it was started") from None
        except BaseException:
            channel.close()
            raise
        return channel

    def _begin(self, stream: LaunchedStream, silence_s: float) -> None:
        """Wait for the agent's start; a login that never let one start is not tried again."""
        try:
            stream.begin(silence_s)
        except (NotStarted, Silent) as e:
            if self.hello or self._patience.is_over:
                raise
            raise OperationFailed("not-a-pod", f"{e.message}.", e.remedy) from e

    def _insist(self, op: str, timeout_s: float, work: Callable[[float], T]) -> T:
        """`work(left_s)`, again after each loss of the link, which is restored in between.

        This lasts for `timeout_s`, in which a pod's silence does not count: `patience` limits that.
        """
        if self._patience.is_over:
            self._try_to_reach()
        with self._patience.asking():
            return self._repeat(op, timeout_s, work)

    def _repeat(self, op: str, timeout_s: float, work: Callable[[float], T]) -> T:
        lost: list[TransportError] = []
        crashes, spent_s = 0, 0.0
        while True:
            began = awake_s()
            try:
                if lost and self._reconnect is not None:
                    self._connection = self._reconnect()
                return work(timeout_s - spent_s)
            except PodLost:
                raise
            except (LinkLost, Unreachable) as e:
                self._drop_channel()
                lost.append(e)
                is_silent = isinstance(e, Silent | Unreachable)
                is_crash = not is_silent and self._connection.is_alive()
                crashes = crashes + 1 if is_crash else 0
                spent_s += 0.0 if is_silent else awake_s() - began
                self._patience.silent(e.message, self._silent_s(e, began))
            if crashes >= _MAX_CRASHES:
                raise _crashing(lost)
            if self._patience.lost:
                raise self._patience.error() from lost[-1]
            pause_s = _PAUSES_S[min(len(lost), len(_PAUSES_S)) - 1]
            can_mend = self._reconnect is not None or self._connection.is_alive()
            if not can_mend or spent_s + pause_s > timeout_s:
                raise _given_up(op, lost[-1]) from lost[-1]
            time.sleep(pause_s)

    def _silent_s(self, e: TransportError, began: float) -> float:
        """For how long the pod had been silent when a try that `began` then failed with `e`."""
        if isinstance(e, Silent):
            # a half-open link looks alive; only closing it leads to a new one
            self._connection.close()
            return self._patience.silence_s
        return awake_s() - began if isinstance(e, Unreachable) else 0.0

    def _try_to_reach(self) -> None:
        """Make one short try to reach a pod that is lost, or in doubt.

        Its SSH server alone may answer while a disk hangs, so the agent must answer, too. Raises
        LinkLost, at once if a try has just failed.
        """
        patience = self._patience
        patience.demand_a_try()
        if self._agent_answers():
            patience.answered()
            return
        self._drop_channel()
        try:
            if self._reconnect is not None:
                self._connection = self._reconnect()
            # a half-open link takes longer to notice that no command starts
            self._connection.run(["true"], timeout_s=TRY_S)
            self._open_channel(TRY_S)
        except PodLost:
            raise
        except (LinkLost, Unreachable, TimeoutError) as e:
            if isinstance(e, TimeoutError):
                self._connection.close()
            patience.silent(str(e) or "no answer")
            raise patience.error() from e
        patience.answered()

    def _agent_answers(self) -> bool:
        """Whether the agent that was started last answers at once, so that no other is needed."""
        if self._channel is None or not self._channel.is_whole:
            return False
        id = f"r-{uuid.uuid4().hex}"
        self.round_trips += 1
        try:
            line = messages.request(id, operations.STATE, {})
            self._channel.ask(id, line, timeout_s=_AT_ONCE_S, silence_s=_AT_ONCE_S)
        except (OperationFailed, TransportError, TimeoutError):
            return False
        return True

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a request or an answer that is recorded: short plain values.

    Secrets are in a mapping of their own, files under names of their own.
    """
    told = {key: value for key, value in values.items() if key not in _FILES and _is_short(value)}
    return dict(itertools.islice(told.items(), _MAX_TOLD))


def _is_short(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TOLD_CHARS
    return value is None or isinstance(value, bool | int)


def _crashing(lost: Sequence[TransportError]) -> OperationFailed:
    return OperationFailed(
        "agent-broken",
        f"the pod's agent ended {len(lost)} times without an answer: {lost[-1].message}.",
        "See whether the pod has memory and disk left.",
    )


def _given_up(op: str, lost: TransportError) -> LinkLost:
    return LinkLost(
        f"the link to the pod broke during '{op}' and could not be opened again: {lost.message}.",
        "Whether the pod did it is unknown; run the same again when the pod answers.",
    )


def _refused(path: str, answer: Any) -> OperationFailed:
    why = answer.get("error") if isinstance(answer, dict) else None
    return OperationFailed(
        "remote-failed",
        f"the pod did not take {path}: {clean(str(why))}.",
        "See whether it has disk space left and whether the directory is writable.",
    )
