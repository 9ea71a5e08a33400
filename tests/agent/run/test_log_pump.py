"""The log pump: timestamps, redaction, and whatever a trainer may print."""

from __future__ import annotations

import os
import re
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.agent.run.log_pump import PIECE_BYTES, LogPump, come_fast
from pytest_wf.wire.redact import Redactor

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.MULTILINE)
SECRET = "hush-hush-secret"


@pytest.fixture
def pumped(tmp_path: Path) -> Callable[..., tuple[str, LogPump]]:
    """``pumped(b"piece", b"piece")``: the log of these writes, and the pump."""

    def run(*pieces: bytes, secrets: tuple[str, ...] = ()) -> tuple[str, LogPump]:
        read_end, write_end = os.pipe()
        path = tmp_path / "log"
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        pump = LogPump(read_end, log, Redactor(secrets))
        pump.start()
        for piece in pieces:
            os.write(write_end, piece)
        os.close(write_end)
        assert pump.join(60)
        return path.read_text(), pump

    return run


def test_every_line_has_its_time(pumped: Callable[..., tuple[str, LogPump]]) -> None:
    text, _ = pumped(b"one\ntwo\n", b"thr", b"ee\n")
    assert STAMP.sub("", text) == "one\ntwo\nthree\n"
    assert all(STAMP.match(line) for line in text.splitlines())


@pytest.mark.parametrize(
    ("size", "after_s", "gathered"),
    [(80, 0.001, True), (1600, 0.021, True), (80, 1.0, False), (PIECE_BYTES, 0.001, False)],
)
def test_only_lines_that_come_fast_and_fit_the_pipe_are_gathered(
    size: int, after_s: float, gathered: bool
) -> None:
    assert come_fast(size, after_s) is gathered


@pytest.mark.fault("P18")
def test_a_last_line_without_its_end_is_kept(pumped: Callable[..., tuple[str, LogPump]]) -> None:
    text, pump = pumped(b"prompt> ")
    assert STAMP.sub("", text) == "prompt> \n"
    assert pump.tail() == ["prompt> "]


@pytest.mark.fault("P18")
def test_nul_and_broken_utf8_stand_escaped(pumped: Callable[..., tuple[str, LogPump]]) -> None:
    text, _ = pumped(b"a\0b \xff \xc3", b"\xa9 \xe2\x82")
    assert STAMP.sub("", text) == "a\\x00b \\xff é \\xe2\\x82\n"


def test_progress_bars_become_lines(pumped: Callable[..., tuple[str, LogPump]]) -> None:
    text, _ = pumped(b"10%\r", b"20%\r\n", b"30%\r", b"\ndone\n")
    assert STAMP.sub("", text) == "10%\n20%\n30%\ndone\n"


def test_a_secret_is_masked_also_across_writes(
    pumped: Callable[..., tuple[str, LogPump]], tmp_path: Path
) -> None:
    raw = SECRET.encode()
    text, pump = pumped(b"key " + raw[:5], raw[5:] + b"\n" + raw + b"!\n", secrets=(SECRET,))
    assert SECRET not in text
    assert STAMP.sub("", text) == "key [redacted]\n[redacted]!\n"
    assert SECRET not in "".join(pump.tail())


@pytest.mark.fault("P17")
def test_a_flood_is_carried_in_bounded_memory(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    log = os.open(os.devnull, os.O_WRONLY)
    pump = LogPump(read_end, log, Redactor([SECRET]))
    pump.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def flood() -> None:
        piece = b"x" * (1 << 20)
        for _ in range(64):
            os.write(write_end, piece)
        os.close(write_end)

    threading.Thread(target=flood).start()
    assert pump.join(60)
    assert pump.received == 64 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024, "KiB"


def test_a_disk_that_refuses_does_not_stop_the_trainer(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    log = os.open("/dev/full", os.O_WRONLY)
    pump = LogPump(read_end, log, Redactor())
    pump.start()
    for _ in range(100):
        os.write(write_end, b"y\n" * 4096)
    os.close(write_end)
    assert pump.join(60)
    assert pump.lost > 0
    assert "No space" in pump.lost_why


def test_whole_lines_are_passed_on_redacted_however_they_are_cut(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    passed_on: list[str] = []
    pump = LogPump(read_end, log, Redactor([SECRET]), passed_on.append)
    pump.start()
    for piece in (b"step 7: lo", b"ss 1.5", b"\n" + SECRET.encode(), b"\nrest"):
        os.write(write_end, piece)
    os.close(write_end)
    assert pump.join(60)
    assert "\n".join(passed_on) == "step 7: loss 1.5\n[redacted]"


def test_the_tail_is_bounded(pumped: Callable[..., tuple[str, LogPump]]) -> None:
    _, pump = pumped(*[b"line %d\n" % n for n in range(500)], b"z" * 5000 + b"\n")
    assert len(pump.tail()) == 200
    assert pump.tail()[-1] == "z" * 500
