"""The fields of a record in JSON, read strictly.

Each function raises `Malformed` if its field has the wrong type.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from pytest_wf.wire import ids

T = TypeVar("T")
NONE = type(None)
_LARGEST = 1e18
_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    NONE: "null",
}


class Malformed(ValueError):
    """JSON that is not the record that it should be."""


def field_in(value: Dict[str, Any], key: str, *types: type) -> Any:
    """A field of one of `types`; a bool is not an int."""
    found = value.get(key)
    if type(found) not in types:
        where = "row %s: " % value["run_id"] if "run_id" in value else ""
        kinds = " or ".join(_NAMES[kind] for kind in types)
        raise Malformed("%s%s is not %s: %.200r" % (where, key, kinds, found))
    return found


def text_in(value: Dict[str, Any], key: str) -> str:
    """Text; '' if there is none."""
    found: str = field_in(value, key, str, NONE) or ""
    return found


def number_in(value: Dict[str, Any], key: str) -> Optional[float]:
    """A number that can be calculated with; None if there is none."""
    found: Optional[float] = field_in(value, key, float, int, NONE)
    if found is not None and not -_LARGEST < found < _LARGEST:
        raise Malformed("row %s: %s is too large" % (value.get("run_id"), key))
    return found


def number_or_none_in(value: Dict[str, Any], key: str) -> Optional[float]:
    """As `number_in`; None also if the number is too large."""
    found: Optional[float] = field_in(value, key, float, int, NONE)
    return found if found is not None and -_LARGEST < found < _LARGEST else None


def whole_in(value: Dict[str, Any], key: str) -> Optional[int]:
    """A whole number from 0; None if there is none."""
    found: Optional[int] = field_in(value, key, int, NONE)
    if found is not None and found < 0:
        raise Malformed("row %s: %s is below 0: %d" % (value.get("run_id"), key, found))
    return found


def required_whole_in(value: Dict[str, Any], key: str) -> int:
    """A whole number from 0, which must be there."""
    field_in(value, key, int)
    return whole_in(value, key) or 0


def listed(value: Any, key: str, from_json: Callable[[Any], T]) -> List[T]:
    """The records in the list `value[key]`, each read by `from_json`."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise Malformed("%s is not a list" % key)
    return [from_json(one) for one in found]


def objects_in(value: Dict[str, Any], key: str) -> Tuple[Dict[str, Any], ...]:
    """The objects in the list `value[key]`; none if there is no list."""
    found = field_in(value, key, list, NONE) or []
    if not all(isinstance(one, dict) for one in found):
        raise Malformed("row %s: %s are not objects" % (value.get("run_id"), key))
    return tuple(found)


def run_id_in(value: Any) -> str:
    """The run id of the row in `value`, which is thereby known to be an object."""
    if not isinstance(value, dict):
        raise Malformed("a row is not an object")
    run_id = value.get("run_id")
    if not isinstance(run_id, str) or not ids.is_id(run_id):
        raise Malformed("not a run id: %.200r" % (run_id,))
    return run_id
