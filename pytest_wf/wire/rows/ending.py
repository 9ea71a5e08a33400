"""The end of a row, as its status and its result both tell it."""

from typing import Any, Dict

from pytest_wf.wire.rows.extremes import extremes_in, sources_in
from pytest_wf.wire.rows.fields import NONE, field_in, number_in, text_in
from pytest_wf.wire.rows.note import notes_in


def ending_in(value: Dict[str, Any]) -> Dict[str, Any]:
    """The fields about its end that a row's status and its result share."""
    return {
        "exit_code": field_in(value, "exit_code", int, NONE),
        "failure_class": field_in(value, "failure_class", str, NONE),
        "reason": field_in(value, "reason", str, NONE),
        "started_at": field_in(value, "started_at", str, NONE),
        "finished_at": field_in(value, "finished_at", str, NONE),
        "duration_s": number_in(value, "duration_s"),
        "metrics": field_in(value, "metrics", dict, NONE) or {},
        "extremes": extremes_in(value),
        "sources": sources_in(value),
        "gpus": field_in(value, "gpus", list, NONE),
        "resumed_from": text_in(value, "resumed_from") or None,
        "notes": notes_in(value),
    }


def ending_as_json(record: Any) -> Dict[str, Any]:
    """The fields of `ending_in` that are not JSON as they are, as JSON."""
    return {
        "extremes": {name: found.as_json() for name, found in record.extremes.items()},
        "sources": dict(record.sources),
        "notes": [note.as_json() for note in record.notes],
    }


#: The fields of a status that its result decides.
ENDING_FIELDS = ("state", "ok", "attempts", *ending_in({}))
