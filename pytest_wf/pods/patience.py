"""Patience with a pod that does not answer: one place per pod decides when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_wf.errors import LinkLost, OperationFailed, TransportError
from pytest_wf.pods.awake_clock import awake_s

#: The most seconds of the one try to reach a lost pod.
TRY_S = 2.5
#: Seconds after a failed try in which a lost pod is not tried again.
_TRY_EVERY_S = 30.0


class PodLost(LinkLost):
    """The pod is lost; nothing was requested."""


class Patience:
    """How long a session waits for its pod. Thread-safe.

    Silence begins when a request gets no answer, and any answer ends it. A pod that was silent for
    `limit_s` seconds is lost: from then on each request is one short try, and for a while after a
    failed try not even that. An interruption (Ctrl-C) ends patience, too: the pod has to answer one
    short try before anything waits for it again.
    """

    def __init__(
        self,
        limit_s: float = 60.0,
        *,
        pod: str = "the pod",
        silence_s: float = 20.0,
        clock: Callable[[], float] = awake_s,
    ) -> None:
        self.limit_s = limit_s
        #: Seconds without a byte after which a link is dead: the agent beats every 5 s in a
        #: request.
        self.silence_s = silence_s
        #: Called in the main thread each time that the pod gave no answer.
        self.tell: Callable[[Patience], None] = lambda patience: None
        #: Why the last request had no answer.
        self.why = ""
        self._pod = pod
        self._clock = clock
        #: When the silence began: on the clock, and by the time of day.
        self._since: float | None = None
        self._since_text = ""
        self._answered_at = self._last_try = float("-inf")
        self._is_doubted = False

    @property
    def silent_s(self) -> float:
        """For how long the pod has been silent; 0 if it is not."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def unheard_s(self) -> float:
        """For how long the pod has not answered, asked or not; infinite if it never did."""
        return self._clock() - self._answered_at

    @property
    def is_over(self) -> bool:
        """Whether the pod is lost, or has not answered since an interruption."""
        return self._is_doubted or (self._since is not None and self.silent_s >= self.limit_s)

    @property
    def lost(self) -> str:
        """``pod lost since 14:47``; '' if it is not lost."""
        return f"pod lost since {self._since_text}" if self.is_over and self._since_text else ""

    @property
    def left_s(self) -> float:
        """How long a try to reach a silent pod may take."""
        return TRY_S if self.is_over else max(TRY_S, self.limit_s - self.silent_s)

    @contextmanager
    def limited(self, limit_s: float) -> Iterator[None]:
        """Use another `limit_s` in the block."""
        before, self.limit_s = self.limit_s, limit_s
        try:
            yield
        finally:
            self.limit_s = before

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Note the outcome of the request in the block: an answer, or an interruption."""
        try:
            yield
        except OperationFailed as e:
            if not isinstance(e.__cause__, TransportError):
                self.answered()
            raise
        except Exception:
            raise
        except BaseException:
            self.doubt()
            raise
        self.answered()

    def answered(self) -> None:
        """Note that the pod has answered."""
        self._answered_at = self._clock()
        self._since, self._since_text, self._is_doubted, self.why = None, "", False, ""

    def silent(self, why: str, for_s: float = 0.0) -> None:
        """Note that the pod gave no answer, in the last `for_s` seconds."""
        now = self._clock()
        self._last_try, self.why = now, why
        since = max(now - for_s, self._answered_at)
        if self._since is None or since < self._since:
            self._since = since
            self._since_text = time.strftime("%H:%M", time.localtime(time.time() - (now - since)))
        if threading.current_thread() is threading.main_thread():
            self.tell(self)

    def doubt(self) -> None:
        """Stop waiting, as the user wishes: the pod has to answer one short try first."""
        self._is_doubted = True

    def demand_a_try(self) -> None:
        """Raise PodLost if the pod is lost and gave no answer just now."""
        if self.lost and self._clock() - self._last_try < _TRY_EVERY_S:
            raise self.error()

    def error(self) -> PodLost:
        """The error of a request to a lost pod."""
        because = f": {self.why.rstrip('.')}" if self.why else ""
        return PodLost(
            f"{self.lost or 'no answer from the pod'} ({self._pod}{because}).",
            "Whether it carried out the last request is unknown; what runs on it continues. Use "
            "`--wf-sweep=resume` when it answers again.",
        )
