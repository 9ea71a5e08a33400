"""Output of a fleet's members: collected from their threads, written by the main thread."""

from __future__ import annotations

import threading
from collections import deque

from pytest_wf.console.live import News
from pytest_wf.flow.flow import Console


class FleetConsole:
    """Writes to the `console` only in the main thread: a reporter is not thread-safe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: deque[str] = deque()
        self._news: dict[str, News] = {}
        self._has_news = False
        #: Held while a member writes to anything that members share.
        self.lock = threading.RLock()

    def of(self, member: str) -> Console:
        """The console of one member."""
        return _MemberConsole(self, member)

    def say(self, member: str, text: str) -> None:
        """Print a line of a member, now or with the next `flush`."""
        self._said.append(f"{member}: {text}")
        self._flush_in_main_thread()

    def show(self, member: str, news: News) -> None:
        """Show a member's news, now or with the next `flush`."""
        with self.lock:
            if any(other.what != news.what for other in self._news.values()):
                self._news.clear()
            self._news[member] = news
            self._has_news = True
        self._flush_in_main_thread()

    def flush(self) -> None:
        """Write the members' output since the last call; for the main thread."""
        while self._said:
            self._console.say(self._said.popleft())
        with self.lock:
            has_news, self._has_news = self._has_news, False
            news = dict(sorted(self._news.items(), key=lambda item: int(item[0][3:])))
        if has_news and news:
            self._console.show(_merged(news))

    def _flush_in_main_thread(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.flush()


class _MemberConsole:
    def __init__(self, fleet: FleetConsole, member: str) -> None:
        self._fleet = fleet
        self._member = member

    def say(self, text: str) -> None:
        self._fleet.say(self._member, text)

    def show(self, news: News) -> None:
        self._fleet.show(self._member, news)


def _merged(news: dict[str, News]) -> News:
    """News of all members, one line each."""
    first = next(iter(news.values()))
    rows = tuple(f"{name} {one.text or one.log}".rstrip() for name, one in news.items())
    kinds = tuple((name, one.kind) for name, one in news.items() if one.kind is not None)
    return News(first.what, rows=rows, kind=kinds or None)
