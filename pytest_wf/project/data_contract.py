"""What a sweep reads: the data sets that its rows name, and contracts of a project's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_wf.wire.rows import Row

__all__ = ["DataContract", "trainings"]


@dataclass(frozen=True)
class DataContract:
    """A command that holds when it ends with status 0: the data is on the pod, and whole.

    `command` is shell text of your own. It runs on the pod, in the repository, with the venv
    first on the PATH and the config's keys exported, at the end of P50; it may download what
    is missing. Where the last line that it prints is a JSON object, that goes into the
    evidence. A contract named 'fineweb' takes the place of the built-in one.
    """

    name: str
    command: str
    #: What to do where it does not hold.
    remedy: str = ""
    timeout_s: int = 3600

    def as_data(self) -> dict[str, Any]:
        """As the pod takes it."""
        return {
            "name": self.name,
            "command": self.command,
            "remedy": self.remedy,
            "timeout_s": self.timeout_s,
        }


def trainings(rows: Iterable[Row]) -> list[list[str]]:
    """Each config with the data set that a row's override names for it, '' for none; once each."""
    return [list(pair) for pair in sorted({(row.config, _override(row.argv)) for row in rows})]


def _override(argv: tuple[str, ...]) -> str:
    named = ""
    for place, word in enumerate(argv):
        key, equals, value = word.lstrip("-").partition("=")
        if key == "dataset" and equals:
            named = value
        elif word == "--dataset":
            named = next(iter(argv[place + 1 :]), "")
    return named
