"""A log of two gigabytes: its end is shown at once, in little memory."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.sweep_pod import make_row

LOG_BYTES = 2 << 30
MEMORY_BYTES = 200 << 20
#: What may be read of it: its end, and never the way there.
READ_BYTES = 1 << 20


def read_by(pid: int) -> int:
    """How many bytes a process has read so far, from disk or cache."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


def most_memory_of(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


@pytest.fixture
def talkative(pod: Any) -> Any:
    """A pod whose run `a` has a log of two gigabytes."""
    pod.run_to_end(make_row("a"))
    with (pod.outputs / "a/attempts/1/stdout.log").open("r+b") as log:
        log.truncate(LOG_BYTES)
        log.seek(0, 2)
        log.write(b"\nthe last line\n")
    return pod


@pytest.mark.fault("P17")
def test_the_end_of_two_gigabytes_is_shown_at_once_in_little_memory(talkative: Any) -> None:
    agent = talkative.client.hello["pid"]
    before = read_by(agent)
    args = {"run_id": "a", "offset": -4096, "max_bytes": 4096}
    answer = talkative.client.request("log", args)
    spent = read_by(agent) - before
    assert base64.b64decode(answer["data"]).endswith(b"\nthe last line\n")
    assert answer["size"] == LOG_BYTES + len("\nthe last line\n")
    assert spent < READ_BYTES
    assert most_memory_of(agent) < MEMORY_BYTES


def test_no_question_makes_the_agent_carry_much_of_it(talkative: Any) -> None:
    agent = talkative.client.hello["pid"]
    args = {"run_id": "a", "offset": 0, "max_bytes": LOG_BYTES}
    answer = talkative.client.request("log", args)
    assert len(answer["data"]) < 8 << 20
    before = read_by(agent)
    assert talkative.status()["ok"] == 1
    assert read_by(agent) - before < READ_BYTES
    assert most_memory_of(agent) < MEMORY_BYTES
