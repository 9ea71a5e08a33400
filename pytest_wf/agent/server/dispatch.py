"""The dispatch: JSON request lines on stdin, JSON answer lines on stdout.

Every request runs in a thread of its own, so that a long one, or one that its controller gave up,
does not delay the others. While a request is under way, a beat tells the controller that the link
is alive. When stdin ends, changing requests are finished, then the process exits.
"""

import os
import select
import sys
import threading
from typing import BinaryIO, Callable, Dict, List, Optional, Set

from pytest_wf.agent import forks, process
from pytest_wf.agent.control import clock, control_files, created_paths, journal, lease
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.host.operations import state_now
from pytest_wf.agent.server import detached
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.wire import messages, operations, podenv, user
from pytest_wf.wire.files import BadJson, parse_json, read_bytes
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import is_within
from pytest_wf.wire.process import boot_id

#: Seconds between beats while a request is under way.
BEAT_S = 5.0


class Server:
    """One controller's channel: reads requests until stdin ends."""

    def __init__(self, read_fd: int, write_fd: int, created: str = "") -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        #: Outermost directory that the launcher had to create for the agent; '' if none.
        self._created = created
        self._settings: Optional[Settings] = None
        self._writing = threading.Lock()
        #: Findings of damaged control files that were sent already, or are not of this channel.
        self._said: Set[str] = set(control_files.findings())
        self._under_way: Dict[str, int] = {}
        self._changing: List[threading.Thread] = []

    def run(self) -> None:
        """Serve until stdin ends, then finish the requests that change the pod."""
        held = b""
        while True:
            ready, _, _ = select.select([self._read_fd], [], [], BEAT_S)
            if not ready:
                self._beat()
                continue
            piece = os.read(self._read_fd, 1 << 16)
            if not piece:
                break
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                self._accept(line)
            if len(held) > messages.MAX_LINE_BYTES:
                break  # nothing sensible can follow
        for thread in self._changing:
            thread.join()

    def _accept(self, line: bytes) -> None:
        try:
            request = parse_json(line, messages.MAX_LINE_BYTES)
            id, op, args = request["id"], request["op"], request["args"]
            token = request.get("token")
            if not (isinstance(id, str) and isinstance(op, str) and isinstance(args, dict)):
                raise TypeError
            if not isinstance(token, (int, type(None))) or isinstance(token, bool):
                raise TypeError
        except (BadJson, KeyError, TypeError):
            self._send(messages.refusal("", Refusal("agent-broken", "not a request")))
            return
        if op == operations.OPEN:
            self._answer(id, lambda: self._open(args), with_states=False)
            return
        thread = threading.Thread(
            target=self._answer,
            args=(id, lambda: self._perform(id, op, args, token), request.get("states") is True),
            daemon=True,
        )
        rules = operations.OPERATIONS.get(op)
        if rules is not None and rules.journalled and not rules.detached:
            self._changing = [t for t in self._changing if t.is_alive()] + [thread]
        thread.start()

    def _answer(self, id: str, work: Callable[[], Result], with_states: bool) -> None:
        self._under_way[id] = self._under_way.get(id, 0) + 1
        before = self._state() if with_states else None
        try:
            line = messages.answer(id, work())
        except Exception as e:  # noqa: BLE001 - the controller must learn of it
            line = messages.refusal(id, journal.as_refusal(e))
        finally:
            self._under_way[id] -= 1
            if not self._under_way[id]:
                del self._under_way[id]
        for finding in control_files.findings():
            if finding not in self._said:
                self._said.add(finding)
                self._send(messages.event(id, {"finding": finding}))
        if with_states:
            self._send(messages.event(id, {"states": [before, self._state()]}))
        self._send(line)

    def _state(self) -> Optional[str]:
        if self._settings is None:
            return None
        return state_now(self._settings, process.is_in_memory())

    def _perform(self, id: str, op: str, args: Args, token: Optional[int]) -> Result:
        settings = self._settings
        if settings is None:
            raise Refusal("agent-broken", "'%s' came before 'open'" % op)
        rules, run = operations.OPERATIONS.get(op), OPERATIONS.get(op)
        if rules is None or run is None:
            raise Refusal("agent-broken", "the agent knows no operation '%s'" % op)
        if rules.journalled:
            stored = journal.answer(journal.folder(settings, id))
            if stored is not None:
                return journal.result_of(stored)
        if rules.needs_token:
            lease.check(settings, token)
        if rules.synced:
            require_synced(settings)
        session = Session(
            settings,
            id,
            token,
            lambda body: self._send(messages.event(id, body)),
            write_nothing=process.is_in_memory(),
        )
        if rules.detached:
            return detached.attend(session, op, args)
        if rules.journalled:
            return journal.once(settings, id, op, args, lambda: run(session, args))
        return run(session, args)

    def _open(self, args: Args) -> Result:
        values = args.get("settings")
        if not isinstance(values, dict) or not all(
            isinstance(k, str) and isinstance(v, str) for k, v in values.items()
        ):
            raise Refusal("agent-broken", "the settings are not strings by name")
        settings = Settings(values)
        self._note_created(settings)
        self._settings = settings
        return {
            "host": os.uname().nodename,
            "os": os.uname().sysname,
            "user": user.name(),
            "uid": os.getuid(),
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "python": "%d.%d.%d" % sys.version_info[:3],
            "time": clock.now(),
        }

    def _note_created(self, settings: Settings) -> None:
        """Record the directory that the launcher created, which was not possible before it ran."""
        if not self._created:
            return
        if is_within(settings.outputs, self._created):
            created_paths.record(settings, settings.outputs)
        elif is_within(self._created, settings.outputs):
            created_paths.record(settings, self._created)
        self._created = ""

    def _beat(self) -> None:
        for id in list(self._under_way):
            self._send(messages.event(id, {"beat": True}))

    def _send(self, line: bytes) -> None:
        with self._writing:
            try:
                while line:
                    line = line[os.write(self._write_fd, line) :]
            except OSError:
                pass  # the controller is gone; stdin will end too


def require_synced(settings: Settings) -> None:
    """Raise Refusal 'config-not-synced' unless the pod's copy of the config is this one."""
    try:
        same = read_bytes(settings.env_path) == podenv.render(settings)
    except OSError:
        same = False
    if not same:
        raise Refusal(
            "config-not-synced",
            "%s on the pod is not the config of this controller" % settings.env_path,
            "Run `wf config-sync`.",
        )


def serve_main(words: List[str], _stdin: BinaryIO) -> int:
    """``serve [directory that the launcher made]``: serve the controller on stdin and stdout."""
    # output of other code must not break the protocol: its descriptor is private
    out = os.dup(1)
    os.dup2(2, 1)
    forks.keep_helper()
    Server(0, out, words[0] if words else "").run()
    return 0
