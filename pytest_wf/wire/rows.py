"""A sweep's rows as both sides know them: what is to be run, how it stands, how it ended.

Each class is read from JSON by `from_json`, which raises `Malformed` for a field of the wrong
type and ignores unknown ones, and written as JSON by `as_json`.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from pytest_wf.wire import ids

T = TypeVar("T")
_NONE = type(None)


class Malformed(ValueError):
    """JSON that is not the record that it should be."""


class Row(NamedTuple):
    """One row of a sweep: one training."""

    #: Place in the manifest, from 0.
    index: int  # type: ignore[assignment]  # a row is never searched as a tuple
    run_id: str
    config: str
    seed: int
    #: As written in the CSV, and split as a shell does.
    overrides: str
    argv: Tuple[str, ...]
    notes: str = ""
    timeout_s: Optional[int] = None
    gpus: Optional[int] = None
    retries: Optional[int] = None
    expect: str = ""
    #: Line of the CSV on which the row begins; 0 where it is not known.
    line: int = 0
    #: The campaign whose result was adopted as this row's; None where the row is run.
    adopted_from: Optional[str] = None

    @classmethod
    def from_json(cls, value: Any) -> "Row":
        """The row in a JSON object."""
        run_id = _run_id(value)
        argv = _field(value, "argv", list)
        if not all(isinstance(word, str) for word in argv):
            raise Malformed("row %s: argv is not a list of strings" % run_id)
        config = _text(value, "config")
        if not config or config.startswith("/") or ".." in config.split("/"):
            raise Malformed("row %s: not a path in the working directory: %r" % (run_id, config))
        if any("\0" in text for text in [config, *argv]):
            raise Malformed("row %s: an argument holds a NUL byte" % run_id)
        return cls(
            index=_whole(value, "index") or 0,
            run_id=run_id,
            config=config,
            seed=_field(value, "seed", int),
            overrides=_text(value, "overrides"),
            argv=tuple(argv),
            notes=_text(value, "notes"),
            timeout_s=_whole(value, "timeout_s"),
            gpus=_whole(value, "gpus"),
            retries=_whole(value, "retries"),
            expect=_text(value, "expect"),
            line=_whole(value, "line") or 0,
            adopted_from=_text(value, "adopted_from") or None,
        )

    def as_json(self) -> Dict[str, Any]:
        """The row as `from_json` reads it."""
        return dict(self._asdict(), argv=list(self.argv))


def listed(value: Any, key: str, from_json: Callable[[Any], T]) -> List[T]:
    """The records in the list `value[key]`, each read by `from_json`."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise Malformed("%s is not a list" % key)
    return [from_json(one) for one in found]


def _run_id(value: Any) -> str:
    """The run id of the row in `value`, which is thereby known to be an object."""
    if not isinstance(value, dict):
        raise Malformed("a row is not an object")
    run_id = value.get("run_id")
    if not isinstance(run_id, str) or not ids.is_id(run_id):
        raise Malformed("not a run id: %.200r" % (run_id,))
    return run_id


def _field(value: Dict[str, Any], key: str, *types: type) -> Any:
    """A field of one of `types`; a bool is no int."""
    found = value.get(key)
    if type(found) not in types:
        raise Malformed(
            "row %s: %s is not %s: %.200r"
            % (value.get("run_id"), key, " or ".join(_NAMES[t] for t in types), found)
        )
    return found


_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    _NONE: "null",
}


def _text(value: Dict[str, Any], key: str) -> str:
    """Text; '' where there is none."""
    found: str = _field(value, key, str, _NONE) or ""
    return found


def _whole(value: Dict[str, Any], key: str) -> Optional[int]:
    """A whole number from 0; None where there is none."""
    found: Optional[int] = _field(value, key, int, _NONE)
    if found is not None and found < 0:
        raise Malformed("row %s: %s is below 0: %d" % (value.get("run_id"), key, found))
    return found
