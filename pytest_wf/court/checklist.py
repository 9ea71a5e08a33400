"""The Markdown checklist of a flow: one box per phase, ticked when its court has passed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pytest_wf.court.contract import Contract
from pytest_wf.evidence.times import rfc3339
from pytest_wf.wire.ownership import CHECKLIST, NotOurs, replace_file
from pytest_wf.wire.safe_text import readable

_LINE = re.compile(r"- \[([ x])\] (P[0-9]{2}) ")
_FLOW = re.compile(r"Flow: `([^`]*)`")
_NO_FLOW = "none"


@dataclass(frozen=True)
class ChecklistStatus:
    """The contents of a checklist: its flow, ticked and open phases, and events."""

    flow_id: str | None
    done: tuple[str, ...]
    open: tuple[str, ...]
    events: tuple[str, ...]


class Checklist:
    """The file at `path`: one line per contract, in the order of codes, and the events.

    It is rewritten completely at each change, so that it can be watched. `end` keeps a copy
    beside it, named ``<path>.last``, and clears it if `reset_on_end` is true.
    """

    def __init__(
        self, path: Path, contracts: Mapping[str, Contract], reset_on_end: bool = True
    ) -> None:
        self.path = path
        self.last = path.with_name(path.name + ".last")
        self._contracts = [contracts[code] for code in sorted(contracts)]
        self._reset_on_end = reset_on_end
        #: Makes the text of an event safe to show: it may come from the pod.
        self.shown: Callable[[str], str] = readable
        self._flow_id: str | None = None
        self._done: set[str] = set()
        self._events: list[str] = []

    def begin(self, flow_id: str) -> None:
        """Begin an empty list for a flow. Raises OSError."""
        self._flow_id, self._done, self._events = flow_id, set(), []
        self.event(f"flow {flow_id} began")

    def tick(self, code: str) -> None:
        """Tick a phase. Raises KeyError for a code without a contract."""
        if code not in {c.code for c in self._contracts}:
            raise KeyError(code)
        self._done.add(code)
        self._write()

    def event(self, text: str) -> None:
        """Add a line to the events, with the time."""
        line = " ".join(self.shown(text).split())
        self._events.append(f"{rfc3339(datetime.now(timezone.utc))} {line}")
        self._write()

    def end(self) -> None:
        """Keep a copy as ``<path>.last``, and clear the list if that is configured."""
        self._replace(self.last, flush_folder=True)
        if self._reset_on_end:
            self.reset()

    def reset(self) -> None:
        """Clear the list: no flow, no tick, no event."""
        self._flow_id, self._done, self._events = None, set(), []
        self._write()

    def status(self) -> ChecklistStatus:
        """The present contents of the file, whoever wrote it; empty if there is none."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ChecklistStatus(None, (), tuple(c.code for c in self._contracts), ())
        marks = {m[2]: m[1] for m in map(_LINE.match, text.splitlines()) if m}
        flow = _FLOW.search(text)
        _, _, events = text.partition("\n## Events\n")
        return ChecklistStatus(
            None if flow is None or flow[1] == _NO_FLOW else flow[1],
            tuple(code for code, mark in marks.items() if mark == "x"),
            tuple(code for code, mark in marks.items() if mark == " "),
            tuple(line[2:] for line in events.splitlines() if line.startswith("- ")),
        )

    def _text(self) -> str:
        lines = [CHECKLIST.decode().strip(), "", f"Flow: `{self._flow_id or _NO_FLOW}`", ""]
        for c in self._contracts:
            mark = "x" if c.code in self._done else " "
            lines.append(f"- [{mark}] {c.code} {c.name} - {c.intent}")
        lines += ["", "## Events", ""]
        lines += [f"- {event}" for event in self._events]
        return "\n".join(lines).rstrip("\n") + "\n"

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._replace(self.path)

    def _replace(self, path: Path, *, flush_folder: bool = False) -> None:
        content = self._text().encode("utf-8")
        try:
            replace_file(str(path), content, CHECKLIST, flush_folder=flush_folder)
        except NotOurs as e:
            # a file that did not exist when the paths were checked
            raise FileExistsError(e.message) from None
