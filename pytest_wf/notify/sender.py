"""Messages to people, through the services that `WF_NOTIFY` names; nothing waits for them.

The process `pytest_wf.notify.process` sends them; it starts with the first message. A failure to
send costs the flow one line, and at most `WAIT_S` at its end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_wf.config.keys import Config
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import environment
from pytest_wf.wire.redact import MIN_SECRET_CHARS, Redactor

#: The longest that a flow's end waits for its messages.
WAIT_S = 20.0

_CHECK_S = 60.0
#: Messages are short: all messages of a flow fit into a pipe without a reader.
_MAX_TITLE = 200
_MAX_BODY = 1_000
_PROGRAM = (sys.executable, "-m", "pytest_wf.notify.process")


def urls_of(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The texts of the variables that `WF_NOTIFY` names, for those that are set."""
    return {name: environ[name] for name in config.wf_notify if environ.get(name)}


def secrets_in(text: str) -> list[str]:
    """The parts of a variable's text to mask: the whole, and each of its URLs."""
    return [text, *re.split(r"[\s,]+", text)]


def require(config: Config, environ: Mapping[str, str]) -> None:
    """Raise OperationFailed that names every unusable variable of `WF_NOTIFY`.

    Sends nothing. The error names variables, never their values.
    """
    if not config.wf_notify:
        return
    wrong = []
    for name in config.wf_notify:
        value = environ.get(name, "")
        if len(value) < MIN_SECRET_CHARS:
            wrong.append(f"{name} {'is too short for a URL' if value else 'is not set'}")
    if importlib.util.find_spec("apprise") is None:
        raise OperationFailed(
            "config",
            "WF_NOTIFY is set, and the package apprise is not installed"
            + "".join(f"; {text}" for text in wrong)
            + ".",
            "Run `pip install 'pytest-wf[notify]'`, or take WF_NOTIFY out.",
        )
    if not wrong:
        wrong = [f"{name} holds no URL of Apprise's" for name in _unusable(config, environ)]
    if wrong:
        raise OperationFailed(
            "config",
            f"WF_NOTIFY: {'; '.join(wrong)}.",
            "Export a URL such as slack://… or json://host, or take the name out of WF_NOTIFY.",
        )


def _unusable(config: Config, environ: Mapping[str, str]) -> Sequence[str]:
    hello = json.dumps({"urls": urls_of(config, environ)}) + "\n"
    try:
        done = subprocess.run(
            _PROGRAM,
            input=hello,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_CHECK_S,
            env=_environment(),
        )
        found: Sequence[str] = json.loads(done.stdout)["unusable"]
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as e:
        raise OperationFailed(
            "config",
            f"WF_NOTIFY: apprise could not be asked about its URLs ({type(e).__name__}).",
            "Reinstall it with `pip install --force-reinstall 'pytest-wf[notify]'`.",
        ) from None
    return found


def _environment() -> dict[str, str]:
    # the process imports the packages of this process, wherever they were found
    return environment.of_tool({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


class Notifier:
    """The messages of one flow: sent, delivered, failed. No method raises or blocks for long.

    `say` gets one line for each variable, when its service first fails; the line has no URL.
    """

    def __init__(
        self, urls: Mapping[str, str], redactor: Redactor, say: Callable[[str], None]
    ) -> None:
        self._urls = dict(urls)
        self._redactor = redactor
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = b""
        #: Titles of the messages sent, by their number.
        self._told: list[str] = []
        #: Messages without an answer yet, by number and name.
        self._open: set[tuple[int, str]] = set()
        self._delivered = 0
        self._failed: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._urls)

    def tell(self, title: str, body: str, kind: str = "info") -> None:
        """Send a message; `kind` is info, success, warning or failure."""
        if not self._urls:
            return
        number = len(self._told)
        title, body = self._fit(title, _MAX_TITLE), self._fit(body, _MAX_BODY)
        self._told.append(title)
        self._open.update((number, name) for name in self._urls)
        message = {"id": number, "title": title, "body": body, "kind": kind}
        try:
            if self._process is None:
                self._start()
            self._write(message)
        except OSError:
            for name in self._urls:
                self._answered(number, name, ok=False)
        self.look()

    def look(self) -> None:
        """Read the answers that have arrived; does not wait."""
        self._read_until(0)

    def close(self, wait_s: float = WAIT_S) -> None:
        """Wait for open messages, `wait_s` at most, and end the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.close()
        except OSError:
            pass
        self._process = process
        self._read_until(time.monotonic() + wait_s)
        self._process = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass  # the process has ended
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        for number, name in sorted(self._open):
            self._answered(number, name, ok=False)

    def facts(self) -> dict[str, Any]:
        """Counts of messages, and failures by variable, for evidence."""
        return {
            "told": len(self._told),
            "delivered": self._delivered,
            "failed": dict(sorted(self._failed.items())),
            "on_their_way": len(self._open),
        }

    def _start(self) -> None:
        self._process = subprocess.Popen(
            _PROGRAM,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C ends the flow, and that message is still to be sent
        )
        self._write({"urls": self._urls})

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(record).encode() + b"\n")
        self._process.stdin.flush()

    def _read_until(self, deadline: float) -> None:
        """Read answers until all have arrived, the process has ended, or the time is up."""
        while self._process is not None and self._open:
            assert self._process.stdout is not None
            fd = self._process.stdout.fileno()
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return
            piece = os.read(fd, 1 << 16)
            if not piece:
                return
            *lines, self._answers = (self._answers + piece).split(b"\n")
            for line in lines:
                try:
                    answer = json.loads(line)
                    number, name, ok = answer["id"], answer["name"], answer["ok"] is True
                except (ValueError, LookupError, TypeError):
                    continue  # the process's first line, or not a line of the protocol
                self._answered(number, name, ok=ok)

    def _answered(self, number: int, name: str, *, ok: bool) -> None:
        if (number, name) not in self._open:
            return
        self._open.discard((number, name))
        if ok:
            self._delivered += 1
            return
        self._failed[name] += 1
        if self._failed[name] == 1:
            self._say(
                f"not delivered by {name} (WF_NOTIFY): {self._told[number]!r}; the flow continues"
            )

    def _fit(self, text: str, longest: int) -> str:
        text = self._redactor.shown(text)
        return text if len(text) <= longest else text[: longest - 3] + "..."
