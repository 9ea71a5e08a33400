"""An account that several pods of one process share: one rate, and one listing for all who wait.

An account allows a number of requests per minute, however many pods a flow has. So a provider has
one `Pace` for every request that it sends, and pods that are waited for at the same time are looked
up in one listing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import Account


class Pace:
    """At most `requests` in any `window_s` seconds. Thread-safe."""

    def __init__(
        self,
        requests: int,
        window_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests = requests
        self._window_s = window_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        #: When each request of the window leaves it.
        self._leaves: deque[float] = deque()
        #: How many were sent.
        self.count = 0

    def wait(self) -> None:
        """Wait until one more request may be sent, and count it."""
        while True:
            with self._lock:
                now = self._clock()
                while self._leaves and self._leaves[0] <= now:
                    self._leaves.popleft()
                if len(self._leaves) < self._requests:
                    self._leaves.append(now + self._window_s)
                    self.count += 1
                    return
                wait_s = self._leaves[0] - now
            self._sleep(wait_s)


class SharedListing:
    """The account's pods, listed once for all threads that wait for them. Thread-safe.

    A caller never gets a listing that began before its call: its own last change to a pod might be
    missing.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = 0
        self._is_asking = False
        #: The number of the last listing that ended, its pods, and what it raised.
        self._ended = 0
        self._pods: Sequence[Pod] = ()
        self._error: Exception | None = None

    def pods(self, ask: Callable[[], Sequence[Pod]]) -> Sequence[Pod]:
        """The pods by `ask`, or by that of another thread. Raises what it raises."""
        with self._changed:
            before = self._begun
            while self._is_asking and self._ended <= before:
                self._changed.wait()
            if self._ended > before:
                return self._last()
            self._is_asking = True
            self._begun += 1
            mine = self._begun
        pods: Sequence[Pod] = ()
        error: Exception | None = None
        is_answered = False
        try:
            pods = ask()
            is_answered = True
        except Exception as e:
            error, is_answered = e, True
            raise
        finally:
            with self._changed:
                self._is_asking = False
                if is_answered:  # an interrupted thread leaves the request to the next one
                    self._ended, self._pods, self._error = mine, pods, error
                self._changed.notify_all()
        return pods

    def _last(self) -> Sequence[Pod]:
        if self._error is not None:
            raise self._error
        return self._pods


class _Shared:
    """An account whose listing is shared; everything else is the account's own."""

    def __init__(self, account: Account, listing: SharedListing) -> None:
        self._account = account
        self._listing = listing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._account, name)

    def pods(self) -> Sequence[Pod]:
        """Every pod of the account, by a listing that began after this call."""
        return self._listing.pods(self._account.pods)


def shared(account: Account, pace: Pace, listing: SharedListing) -> Account:
    """`account`, which keeps to `pace` and makes one listing for all callers."""
    account.before_request = pace.wait
    return cast(Account, _Shared(account, listing))
