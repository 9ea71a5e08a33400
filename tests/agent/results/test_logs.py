"""Logs by byte offset."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal

Perform = Callable[..., dict[str, Any]]


@pytest.fixture
def run_dir(settings: Settings) -> Path:
    """A run with two attempts."""
    folder = Path(settings.run_dir("a"))
    for number, text in ((1, "first\n"), (2, "0123456789")):
        (folder / "attempts" / str(number)).mkdir(parents=True)
        (folder / "attempts" / str(number) / "stdout.log").write_text(text)
    return folder


def read(answer: dict[str, Any]) -> str:
    """The text of a `log` answer."""
    return base64.b64decode(answer["data"]).decode()


def test_pieces_join_without_gap_or_repeat(run_dir: Path, perform: Perform) -> None:
    text, offset = "", 0
    while True:
        answer = perform("log", run_id="a", offset=offset, max_bytes=3)
        assert answer["offset"] == offset
        if not answer["data"]:
            break
        text += read(answer)
        offset += len(read(answer))
    assert text == "0123456789"
    assert answer["size"] == 10


def test_the_last_attempt_is_the_default_and_named(run_dir: Path, perform: Perform) -> None:
    assert perform("log", run_id="a", offset=0)["attempt"] == 2
    assert read(perform("log", run_id="a", attempt=1, offset=0)) == "first\n"


def test_a_negative_offset_counts_from_the_end(run_dir: Path, perform: Perform) -> None:
    answer = perform("log", run_id="a", offset=-4)
    assert (read(answer), answer["offset"]) == ("6789", 6)
    assert perform("log", run_id="a", offset=-400)["offset"] == 0
    assert read(perform("log", run_id="a", offset=400)) == ""


def test_an_operations_log_is_read_the_same_way(settings: Settings, perform: Perform) -> None:
    folder = Path(settings.operations) / "r-1"
    folder.mkdir(parents=True)
    (folder / "log").write_text("apt\n")
    assert read(perform("log", op_id="r-1", offset=0)) == "apt\n"


@pytest.mark.parametrize(
    "args",
    [
        {"run_id": "../evil"},
        {"run_id": "a\n"},
        {"run_id": "a/attempts"},
        {"run_id": 7},
        {"run_id": "nobody"},
        {"run_id": "a", "attempt": 9},
        {"run_id": "a", "attempt": 0},
        {"run_id": "a", "attempt": "1/../2"},
        {"run_id": "a", "offset": "0"},
        {"op_id": "../x"},
        {"op_id": ".."},
        {},
    ],
)
def test_odd_requests_are_refused(run_dir: Path, perform: Perform, args: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        perform("log", **{"offset": 0, **args})
    assert refused.value.kind == "no-such-run"


def test_links_and_pipes_are_no_logs(run_dir: Path, perform: Perform) -> None:
    (run_dir.parent / "private").write_text("private")
    (run_dir / "attempts" / "3").mkdir()
    (run_dir / "attempts" / "3" / "stdout.log").symlink_to(run_dir.parent / "private")
    with pytest.raises(Refusal):
        perform("log", run_id="a", offset=0)
    (run_dir / "attempts" / "4").mkdir()
    os.mkfifo(run_dir / "attempts" / "4" / "stdout.log")
    with pytest.raises(Refusal):
        perform("log", run_id="a", offset=0)
