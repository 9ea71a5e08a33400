"""Remarks about a row or a task."""

import re
from typing import Any, Dict, NamedTuple, Tuple

from pytest_wf.wire.rows.fields import Malformed, field_in, listed

_NOTE_CODE = re.compile(r"[a-z]+(-[a-z]+)*")


class Note(NamedTuple):
    """Something remarkable about a row or a task that is neither its state nor its failure."""

    #: Lower-case words joined by '-', such as 'late-writer': the name for programs.
    code: str
    text: str

    @classmethod
    def from_json(cls, value: Any) -> "Note":
        """The note in a JSON object."""
        if not isinstance(value, dict):
            raise Malformed("a note is not an object")
        code = field_in(value, "code", str)
        if not _NOTE_CODE.fullmatch(code):
            raise Malformed("not a note's code: %.200r" % (code,))
        return cls(code, field_in(value, "text", str))

    def as_json(self) -> Dict[str, Any]:
        """The note as `from_json` reads it."""
        return dict(self._asdict())


def notes_in(value: Dict[str, Any]) -> Tuple[Note, ...]:
    """The notes in a JSON object; none if it has no list of them."""
    return tuple(listed(value, "notes", Note.from_json)) if "notes" in value else ()
