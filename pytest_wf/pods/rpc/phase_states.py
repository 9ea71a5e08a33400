"""The pod's state at the beginning and the end of a phase, from the answers to its requests."""

from __future__ import annotations

from collections.abc import Mapping


class PhaseStates:
    """The pod's state before a phase's first request and after its last one.

    The agent reads the state when a request comes and again when it has carried it out. Each is
    None if it is not known, or if there was no request.
    """

    def __init__(self) -> None:
        self.before: str | None = None
        self.after: str | None = None
        self._earlier: str | None = None
        self._is_open = False

    def begin(self) -> None:
        """Begin a phase."""
        self._earlier, self.before, self.after = self.after, None, None
        self._is_open = False

    def sent(self) -> None:
        """Note that a request is sent: until its answer comes, the state is not known."""
        if self._is_open and self.before is None:
            # the first request may have been carried out, so later answers are too late
            self.before = self._earlier
        self._is_open, self.after = True, None

    def hear(self, event: Mapping[str, object]) -> None:
        """Take the states that the agent sends with an answer."""
        states = event.get("states")
        if not isinstance(states, list) or len(states) != 2:
            return
        before, after = (state if isinstance(state, str) else None for state in states)
        self._is_open = False
        self.before, self.after = self.before or before, after
