"""What is seen while a phase runs: lines that rewrite themselves, or plain ones now and then."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.console import live
from pytest_wf.console.live import LiveView, News
from pytest_wf.console.progress import progress_of, span
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import Live, RowStatus
from tests.support.campaigns import campaign
from tests.support.waiting import until


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views that do nothing by themselves."""
    monkeypatch.setattr(live, "_TICK_S", 3600.0)


def _view(out: Path, *, rewrites: bool, clock: Clock | None = None, **more: Any) -> LiveView:
    with out.open("wb") as f:
        return LiveView(f.fileno(), rewrites=rewrites, clock=clock or Clock(), **more)


def _screen(written: bytes) -> list[str]:
    """What stands on a terminal of 80 columns after that, rows without text left out."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written.decode()):
        if part.endswith("A") and part[0] == "\x1b":
            row -= int(part[2:-1])
        elif part == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = ""
        elif part == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif part[0] not in "\x1b\r":
            lines[row] += part
    return [line for line in lines if line]


@pytest.mark.usefixtures("no_ticks")
def test_a_time_behind_the_text_counts_on_between_two_news(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=True, clock=clock, colours=False)
    view.show(News("P70", "silent for", since=-5.0))
    assert _screen(out.read_bytes()) == ["wf: P70 0:00 silent for 0:05"]
    clock.now = 7.0
    view._refresh()
    assert _screen(out.read_bytes()) == ["wf: P70 0:07 silent for 0:12"]
    view.close()


@pytest.mark.usefixtures("no_ticks")
def test_off_a_terminal_news_of_one_kind_are_told_every_thirty_seconds(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=False, clock=clock)
    for second in range(65):
        clock.now = float(second)
        view.show(News("P70", f"step {second}", kind=None if second else "one"))
    view.close()
    assert out.read_text().splitlines() == [
        "wf: P70 0:00 step 0",
        "wf: P70 0:30 step 30",
        "wf: P70 1:00 step 60",
    ]


def test_off_a_terminal_silence_is_told_of_too(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=False, clock=clock, quiet_s=60)
    view.show(News("P40"))
    clock.now = 61.0
    until(out.read_text, "the view says something")
    view.close()
    assert out.read_text() == "wf: P40 1:01\n"


def test_off_a_terminal_a_change_is_told_at_once(out: Path) -> None:
    view = _view(out, rewrites=False)
    for kind in ("one", "one", "two"):
        view.show(News("P70", f"row {kind}", rows=("a step 1",), log="never told", kind=kind))
    view.close()
    assert out.read_text().splitlines() == [
        "wf: P70 0:00 row one; a step 1",
        "wf: P70 0:00 row two; a step 1",
    ]


@pytest.mark.usefixtures("no_ticks")
def test_on_a_terminal_the_newest_news_replace_the_last_and_are_cleared(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=True, clock=clock, colours=False)
    view.show(News("P70", "1/3", rows=("a", "b"), log="loss 1"))
    clock.now = 61.0
    view.show(News("P70", "2/3", rows=("c",), log="loss 2"))
    assert _screen(out.read_bytes()) == ["wf: P70 1:01 2/3", "    c", "    | loss 2"]
    view.say("stays")
    assert _screen(out.read_bytes()) == ["wf: stays"]
    view.show(News("P80"))
    view.close()
    assert _screen(out.read_bytes()) == ["wf: stays"]


def test_on_a_terminal_the_clock_goes_on_by_itself(out: Path) -> None:
    clock = Clock()
    view = _view(out, rewrites=True, clock=clock)
    view.show(News("P40", "installing"))
    clock.now = 3600.0
    until(lambda: b"wf: P40 1:00:00 installing" in out.read_bytes(), "the clock goes on")
    assert _screen(out.read_bytes()) == ["wf: P40 1:00:00 installing"]
    view.close()


@pytest.mark.usefixtures("no_ticks")
def test_news_of_a_pod_cannot_steer_the_terminal(out: Path) -> None:
    view = _view(out, rewrites=True)
    evil = "\x1b[2Ja\nb\rc\x07\x9b\u202e"
    view.show(News("P70", evil, rows=(evil,), log=evil))
    shown = "a b c" + "\N{REPLACEMENT CHARACTER}" * 3
    seen = _screen(out.read_bytes())
    assert [line.lstrip() for line in seen] == [f"wf: P70 0:00 {shown}", shown, f"| {shown}"]
    view.say(evil)
    view.close()
    assert _screen(out.read_bytes()) == [f"wf: {shown}"]


def test_news_begin_on_a_line_of_their_own(out: Path) -> None:
    view = _view(out, rewrites=False, mid_line=lambda: "test ")
    view.say("one")
    view.say("two")
    assert view.clear()
    view.close()
    assert out.read_text() == "\nwf: one\nwf: two\n"


@pytest.mark.usefixtures("no_ticks")
def test_a_line_that_news_have_broken_off_is_put_back_behind_them(out: Path) -> None:
    out.write_bytes(b"above\r\ntest ")
    with out.open("ab") as f:
        view = LiveView(f.fileno(), rewrites=True, clock=Clock(), mid_line=lambda: "test ")
    view.show(News("P40", log="pip"))
    assert _screen(out.read_bytes())[:3] == ["above", "test ", "wf: P40 0:00"]
    assert not view.clear()
    assert _screen(out.read_bytes()) == ["above", "test "]
    assert not view.clear()
    view.close()


@pytest.mark.usefixtures("no_ticks")
def test_no_line_on_a_terminal_is_longer_or_higher_than_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")
    view = _view(out, rewrites=True, colours=False)
    view.show(News("P70", "x" * 500, rows=("\u6e2c" * 50, "b", "c", "d", "e"), log="y"))
    shown = _screen(out.read_bytes())
    view.close()
    assert [len(line) for line in shown] == [19, 4 + 7, 5]


def test_colours_are_left_out_where_nobody_wants_them(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    view = _view(out, rewrites=True)
    view.show(News("P70", log="quiet"))
    view.close()
    assert not re.search(rb"\x1b\[[0-9;]*m", out.read_bytes())


def test_a_file_is_no_terminal(out: Path) -> None:
    with out.open("wb") as f:
        view = LiveView(f.fileno(), clock=Clock())
    view.show(News("P70", "plain", kind="one"))
    view.close()
    assert out.read_text() == "wf: P70 0:00 plain\n"


_DONE = [
    RowStatus("a", "success", duration_s=60.0),
    RowStatus("b", "failed", duration_s=120.0),
]
_RUNNING = RowStatus(
    "c",
    "running",
    attempts=2,
    started_at="2026-01-01T00:00:00Z",
    progress={"step": 450, "train_loss": 1.23456},
    live=Live("step 450: loss 1.2", steps_per_s=7.5),
)
_PENDING = RowStatus("d", "pending")


def test_how_a_campaign_comes_along() -> None:
    status = campaign(*_DONE, _RUNNING, _PENDING, now="2026-01-01T00:00:30Z")
    news = progress_of(status, "P70 MONITOR")
    # c has run 30 s of the usual 90 s, and d has yet to begin
    assert news.text == "2/4 rows done, 1 failed, about 2 min left"
    assert news.rows == ("c (attempt 2) step 450, train_loss 1.235, 7.5 steps/s",)
    assert news.log == "step 450: loss 1.2"
    assert news.kind == (("a", "success"), ("b", "failed"), ("c", "running"), ("d", "pending"))
    assert progress_of(campaign(), "P70").text == "0/0 rows done"


def test_a_row_that_says_how_many_steps_it_has_tells_when_it_will_end() -> None:
    row = _RUNNING._replace(live=Live(steps=1000, steps_per_s=0.05))
    news = progress_of(campaign(row, _PENDING, now="2026-01-01T01:00:00Z"), "P70")
    assert news.rows[0].endswith("step 450/1000, train_loss 1.235, 20 s/step, 3 h 3 min left")
    # this row's rest, and all of the next one's
    assert news.text == "0/2 rows done, about 7 h 6 min left"


def test_several_rows_at_once_share_the_time_that_is_left() -> None:
    running = [RowStatus(name, "running") for name in "cde"]
    news = progress_of(campaign(*_DONE, *running), "P70")
    assert news.text == "2/5 rows done, 1 failed, about 1 min left"
    assert news.rows == ("c", "d", "e")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5 s"),
        (59.9, "59 s"),
        (61, "1 min"),
        (12000, "3 h 20 min"),
        (float("inf"), "277777 h 46 min"),
    ],
)
def test_a_span_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_view_that_was_interrupted_while_its_clock_started_closes_all_the_same(
    monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    view = _view(out, rewrites=False)
    with pytest.raises(KeyboardInterrupt):
        view.show(News("P50 CHECKOUT", "", kind="news"))
    view.close()
    assert "P50 CHECKOUT" in out.read_text()


def test_what_is_shown_passes_what_masks_it_before_it_is_cut(out: Path) -> None:
    view = _view(out, rewrites=True)
    view.shown = Redactor(["a-secret-word"]).shown
    view.show(News("P70", "x" * 60, log="y" * 66 + "a-sec\x1b[1mret-word"))
    view.close()

    assert b"a-sec" not in out.read_bytes()
