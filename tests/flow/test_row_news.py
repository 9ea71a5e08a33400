"""News of many rows take a share of the time, and the last ones are always shown."""

from __future__ import annotations

from pytest_wf.console.live import News
from pytest_wf.flow.rows.row_news import RowNews
from pytest_wf.wire.rows import RowStatus
from tests.support.campaigns import campaign


def test_news_that_come_faster_than_they_are_shown_are_passed_over_but_for_the_last() -> None:
    shown: list[str] = []
    now = 0.0

    def show(news: News) -> None:
        nonlocal now
        now += 1.0  # it takes a second
        shown.append(news.text)

    view = RowNews(show, "P70", lambda: now)
    states = ["success", "success", "running", "pending"]
    for ended in range(1, 4):
        rows = [
            RowStatus(f"r{n}", "success" if n < ended else states[n], n) for n in range(len(states))
        ]
        view.take(campaign(*rows))
    now += 10.0
    view.take(campaign(RowStatus("r0", "success", 0), RowStatus("r1", "pending", 1)))
    view.take(campaign(RowStatus("r0", "success", 0), RowStatus("r1", "failed", 1)))
    assert [text.partition(" ")[0] for text in shown] == ["2/4", "1/2", "2/2"]
