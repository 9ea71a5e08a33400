"""Pods that give no answer."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from pytest_wf.errors import LinkLost
from pytest_wf.pods.patience import Patience


class SilentPod:
    """The session with a pod that gives no answer.

    Its first `rounds` requests fail once the `others` are asked, too.
    """

    def __init__(self, others: threading.Barrier, rounds: int = 1) -> None:
        self.patience = Patience()
        self.config = SimpleNamespace(wf_expect="")
        self.project = SimpleNamespace(baseline=None, rows=[])
        self._others = others
        self._rounds = rounds
        self.asked = 0

    def request(self, _op: str, _args: dict[str, Any], **_how: Any) -> dict[str, Any]:
        """No answer; raises BrokenBarrierError if the others are not asked meanwhile."""
        self.asked += 1
        if self.asked <= self._rounds:
            self._others.wait(120)
        raise LinkLost("no answer.")
