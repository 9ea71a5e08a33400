"""Moments of a flow, as files tell them, that faults are tied to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.flow_project import Project
from tests.support.injection.journal import Journal


class Events:
    """Counts how often something has happened in a project so far."""

    def __init__(self, project: Project, journal: Journal) -> None:
        self._project = project
        self._journal = journal
        self._counters: dict[str, Callable[[str], int]] = {
            "start": lambda _: 1,
            "phase": self._phases,
            "begin": lambda row: self._lines(f'"what": "begin", "run_id": "{row}"'),
            "end": lambda row: self._lines(f'"what": "end", "run_id": "{row}"'),
            "summary": lambda row: self._pod(f"{row}/summary.json"),
            "fetched": lambda row: len(list(self._flows.glob(f"*/fetched.{row}.json"))),
        }

    def count(self, event: str) -> int:
        """How often `event` has happened."""
        name, _, of = event.partition(":")
        if name in self._counters:
            return self._counters[name](of)
        return self._pod(f"{of}/attempts/*/{name}")

    @property
    def _flows(self) -> Path:
        return self._project.root / "reports" / "flows"

    def _pod(self, pattern: str) -> int:
        return len(list(self._project.outputs.glob(pattern)))

    def _phases(self, code: str) -> int:
        begun = f'"op":"phase","phase":"{code}"'
        return sum(
            any(begun in line for line in path.read_text(errors="replace").splitlines())
            for path in self._flows.glob("*/events.jsonl")
        )

    def _lines(self, part: str) -> int:
        path = self._journal.path
        return path.read_text().count(part) if path.exists() else 0
