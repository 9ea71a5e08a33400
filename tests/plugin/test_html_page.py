"""When the page of a running flow is drawn, and that it never fails the flow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_wf.plugin.html_page import ReportPage
from pytest_wf.wire.rows import RowStatus

STATUS: Any = SimpleNamespace(rows=[RowStatus("a", "running")])
ENDED: Any = SimpleNamespace(rows=[RowStatus("a", "success")])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The page's clock, which stays where `now` puts it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("pytest_wf.plugin.html_page.monotonic", lambda: clock.now)
    return clock


class Drawn(ReportPage):
    """Notes when it would draw."""

    def __init__(self, clock: SimpleNamespace, takes_s: float = 0.0) -> None:
        super().__init__(SimpleNamespace(), Path())  # type: ignore[arg-type]
        self.clock, self.takes_s = clock, takes_s
        self.at: list[float] = []
        self.error: Exception | None = None

    def _draw_running(self) -> None:
        self.at.append(self.clock.now - 1000)
        self.clock.now += self.takes_s
        if self.error is not None:
            raise self.error

    def look(self, status: Any, seconds: int) -> None:
        """See a status each second."""
        for _ in range(seconds):
            self._rows_seen(status)
            self.clock.now += 1


def test_it_is_drawn_at_most_every_thirty_seconds_while_rows_run(clock: SimpleNamespace) -> None:
    page = Drawn(clock)
    page.look(STATUS, 75)
    assert page.at == [10, 40, 70]
    page.look(ENDED, 60)
    assert len(page.at) == 3


def test_a_page_that_takes_long_is_drawn_less_often(clock: SimpleNamespace) -> None:
    page = Drawn(clock, takes_s=4.0)
    page.look(STATUS, 100)
    assert page.at == [10, 90]


def test_a_page_that_cannot_be_drawn_is_given_up_and_fails_nothing(clock: SimpleNamespace) -> None:
    page = Drawn(clock)
    page.error = OSError("disk full")
    page.look(STATUS, 300)
    assert page.at == [10, 40, 70]


def test_an_interruption_while_it_is_drawn_reaches_the_flow(clock: SimpleNamespace) -> None:
    page = Drawn(clock)
    page.error = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        page.look(STATUS, 11)
