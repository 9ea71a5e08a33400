"""What is seen while a phase runs: one line that rewrites itself, or plain lines now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.flow.live import LiveView
from pytest_wf.flow.progress import progress_line, span


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _view(out: Path, *, rewrites: bool, clock: Clock | None = None) -> LiveView:
    with out.open("wb") as f:
        return LiveView(f.fileno(), rewrites=rewrites, clock=clock or Clock())


def test_off_a_terminal_news_of_one_kind_are_told_every_thirty_seconds(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=False, clock=clock)
    for second in range(65):
        clock.now = float(second)
        view.show(f"step {second}", None if second else "one")
    view.close()
    assert out.read_text().splitlines() == ["wf: step 0", "wf: step 30", "wf: step 60"]


def test_off_a_terminal_a_change_is_told_at_once(out: Path) -> None:
    view = _view(out, rewrites=False, clock=Clock())
    for kind in ("one", "one", "two"):
        view.show(f"row {kind}", kind)
    view.close()
    assert out.read_text().splitlines() == ["wf: row one", "wf: row two"]


def test_on_a_terminal_the_newest_news_replace_the_last_and_are_cleared(out: Path) -> None:
    view = _view(out, rewrites=True)
    view.show("step 1")
    view.show("step 2")
    view.say("stays")
    view.close()
    wipe = b"\r\x1b[2K"
    assert out.read_bytes() == wipe + b"wf: step 1" + wipe + b"wf: step 2" + wipe + b"wf: stays\n"


def test_news_of_a_pod_cannot_steer_the_terminal(out: Path) -> None:
    view = _view(out, rewrites=True)
    evil = "\x1b[2Ja\nb\rc\x07\x9b\u202e"
    view.show(evil)
    view.say(evil)
    view.close()
    wipe = "\r\x1b[2K"
    shown = "wf: a b c\N{REPLACEMENT CHARACTER}" + "\N{REPLACEMENT CHARACTER}" * 2
    assert out.read_bytes().decode() == f"{wipe}{shown}{wipe}{shown}\n"


def test_news_begin_on_a_line_of_their_own(out: Path) -> None:
    with out.open("wb") as f:
        view = LiveView(f.fileno(), rewrites=False, clock=Clock(), is_mid_line=lambda: True)
    view.say("one")
    view.say("two")
    view.close()
    assert out.read_text() == "\nwf: one\nwf: two\n"


def test_a_line_on_a_terminal_is_never_longer_than_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    view = _view(out, rewrites=True)
    view.show("x" * 500)
    view.close()
    assert out.read_text().count("x") < 20


def test_a_file_is_no_terminal(out: Path) -> None:
    with out.open("wb") as f:
        view = LiveView(f.fileno())
    view.show("plain", "one")
    view.close()
    assert out.read_text() == "wf: plain\n"


def test_a_campaign_in_one_line() -> None:
    rows = [
        {"run_id": "a", "state": "success", "duration_s": 60.0},
        {"run_id": "b", "state": "failed", "duration_s": 120.0},
        {
            "run_id": "c",
            "state": "running",
            "attempts": 2,
            "progress": {"step": 450, "train_loss": 1.23456},
        },
        {"run_id": "d", "state": "pending"},
    ]
    assert progress_line({"rows": rows, "failed": 1}) == (
        "2/4 rows done, 1 failed; c (attempt 2) step 450 train_loss 1.235; about 3 min left"
    )
    assert progress_line({"rows": []}) == "0/0 rows done"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (59.9, "59 s"), (61, "1 min"), (12000, "3 h 20 min")]
)
def test_a_span_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text
