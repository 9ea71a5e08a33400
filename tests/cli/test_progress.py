"""What a `wf` command shows while it is at work: a live line on a terminal, none elsewhere."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

#: Back to the beginning of the line, and nothing from there on.
_WIPED = "\r\x1b[J"


class Terminal:
    """A terminal that a command has as its stderr; what it is shown is kept."""

    def __init__(self) -> None:
        self._ours, self.fd = os.openpty()
        self.shown = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:
                return  # the last one who had it open has closed it
            if not piece:
                return
            with self._news:
                self.shown += piece
                self._news.notify_all()

    def until(self, text: str) -> bool:
        """Whether `text` is shown within a minute."""
        with self._news:
            return self._news.wait_for(lambda: text.encode() in self.shown, 60)

    def close(self) -> bytes:
        """What was shown, once everybody has closed it."""
        os.close(self.fd)
        self._reader.join(60)
        os.close(self._ours)
        return self.shown


@pytest.fixture(autouse=True)
def _no_dumb_terminal(request: pytest.FixtureRequest) -> None:
    for name in ("wf", "swept"):
        if name in request.fixturenames:
            request.getfixturevalue(name).environ["TERM"] = "xterm"


@pytest.fixture(scope="module")
def brought(swept: Any) -> Any:
    """`wf` in a project whose sweep left a file that takes a moment to fetch."""
    path = swept.root / ".wf" / "pod" / "outputs" / "one" / "big.bin"
    path.write_bytes(os.urandom(8 << 20))
    return swept


@pytest.mark.long
def test_a_fetch_shows_bytes_and_rate_in_one_line_on_a_terminal(brought: Any) -> None:
    terminal = Terminal()
    with brought.start("fetch-run", "one", stderr=terminal.fd) as process:
        process.communicate(timeout=120)
    shown = terminal.close().decode()

    assert process.returncode == 0, shown
    assert re.search(r"wf: fetch [0-9:]+ [0-9.]+ MB of 8\.\d MB, \d+%, [0-9.]+ [kMG]?B/s", shown)
    assert shown.endswith(_WIPED), "the line is taken away at the end"


def test_a_fetch_shows_no_line_that_rewrites_itself_elsewhere(brought: Any) -> None:
    told = brought("fetch-all")

    assert told.code == 0
    assert "\x1b" not in told.errors + told.out
    assert "\r" not in told.errors + told.out


@pytest.mark.long
def test_a_checkout_shows_the_newest_line_of_its_log_on_a_terminal(wf: Any, tmp_path: Path) -> None:
    wf.all_good("pod-status", "bootstrap")
    gate = tmp_path / "gate"
    wf.configure(CHECKOUT_POST_CMD=f"echo working on it; until test -e {gate}; do sleep 0.1; done")
    wf.all_good("config-sync")

    terminal = Terminal()
    with wf.start("checkout", stderr=terminal.fd) as process:
        seen = terminal.until(" working on it")
        gate.touch()
        process.communicate(timeout=120)

    shown = terminal.close()
    assert seen, shown
    assert process.returncode == 0
    assert shown.decode().endswith(_WIPED)
