"""Control files: read strictly, written with a second copy, never taken for absent when damaged.

`write` seals a file with the digest of its content, and writes a copy beside it, ``<name>.copy``.
`parsed` reads the copy if the file is damaged or gone, and notes that. The copy has the content of
the file, not an earlier one: an older state or lease would permit what the newer one forbids. A
damaged file is moved aside whole before a new one takes its place.
"""

import os
from typing import Any, Callable, Dict, List, Optional, Set, TypeVar

from pytest_wf.agent.control import clock
from pytest_wf.wire.files import (
    COPY,
    MAX_JSON_BYTES,
    SEAL,
    BadJson,
    canonical_json,
    is_sealed,
    pretty_json,
    read_json,
    sealed,
    write_atomic,
)
from pytest_wf.wire.messages import Refusal

_LOOK = "Look at the file; if it is damaged, move it away."

T = TypeVar("T")
_Write = Callable[[str, bytes], None]

# what this process found, and the files that it found damaged
_findings: List[str] = []
_damaged: Set[str] = set()


class Damaged(Refusal):
    """Neither a control file nor its copy can be read."""

    def __init__(self, path: str, why: str, remedy: str = _LOOK) -> None:
        message = "%s on the pod cannot be read: %s" % (path, why)
        super().__init__("state-unreadable", message, remedy, {"path": path})
        self.why = why


class Incompatible(Refusal):
    """A control file was written in the format of another version."""

    def __init__(self, path: str) -> None:
        super().__init__(
            "state-unreadable",
            "%s on the pod cannot be read: it was written by an incompatible version of pytest-wf"
            % path,
            "Use that version, or begin afresh: move the outputs directory away, or set another "
            "OPS_REMOTE_OUTPUTS_DIR. `wf fetch-all --from-directory` fetches what is there.",
            {"path": path},
        )


def findings() -> List[str]:
    """The damage that this process found and continued in spite of, one sentence each."""
    return list(_findings)


def note(finding: str) -> None:
    """Add a sentence to `findings`."""
    if finding not in _findings:
        _findings.append(finding)


def parsed(
    path: str,
    parse: Callable[[Dict[str, Any]], T],
    schema: Optional[int] = None,
    max_bytes: int = MAX_JSON_BYTES,
    remedy: str = _LOOK,
) -> Optional[T]:
    """The JSON object in the control file at `path`, or in its copy, as `parse` returns it.

    None if neither exists. `parse` raises ValueError, TypeError or KeyError for a field that is
    missing or of the wrong kind. Raises `Damaged`, and `Incompatible` for a file of another version
    than `schema`, whatever its copy holds.
    """

    def whole(at: str) -> Optional[T]:
        found = read(at, schema, max_bytes, remedy)
        if found is None:
            return None
        try:
            return parse(found)
        except (KeyError, TypeError, ValueError):
            raise Damaged(at, "a field is missing or of the wrong kind", remedy) from None

    damaged: Optional[Damaged] = None
    try:
        found = whole(path)
        if found is not None:
            return found
    except Damaged as e:
        damaged = e
    try:
        found = whole(path + COPY)
    except Damaged:
        raise damaged or Damaged(path, "it is gone, and its copy is damaged", remedy) from None
    if found is not None:
        why = damaged.why if damaged is not None else "it is gone"
        _damaged.add(path)
        note("%s on the pod cannot be read (%s); its copy was read instead" % (path, why))
    elif damaged is not None:
        raise damaged
    return found


def read(
    path: str,
    schema: Optional[int] = None,
    max_bytes: int = MAX_JSON_BYTES,
    remedy: str = _LOOK,
) -> Optional[Dict[str, Any]]:
    """The JSON object in the file at `path` itself; None if there is no file.

    Raises `Damaged`; `Incompatible` if it is of another version than `schema`.
    """
    try:
        found = read_json(path, max_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise Damaged(path, e.strerror or str(e), remedy) from None
    except BadJson as e:
        raise Damaged(path, str(e), remedy) from None
    if not isinstance(found, dict):
        raise Damaged(path, "not a JSON object", remedy)
    if not is_sealed(found):
        raise Damaged(path, "it was changed since it was written", remedy)
    if schema is not None and found.get("schema") != schema:
        if type(found.get("schema")) is not int:
            raise Damaged(path, "it has no schema number", remedy)
        raise Incompatible(path)
    found.pop(SEAL, None)
    return found


def write(
    path: str, value: Dict[str, Any], write_bytes: Optional[_Write] = None, *, compact: bool = False
) -> None:
    """Write a control file and its copy; damaged ones are moved aside first.

    The copy is written first: a copy older than the file would permit what the file forbids, once
    the file is damaged. `write_bytes` is by default `write_atomic`, readable by the owner alone.
    Raises OSError if the file could not be written; it then keeps its old content, without a copy.
    """
    write_bytes = write_bytes or _write_private
    body = sealed(value)
    content = canonical_json(body) + b"\n" if compact else pretty_json(body)
    if path in _damaged or os.path.isdir(path):
        set_aside(path)
    if os.path.isdir(path + COPY):
        set_aside(path + COPY)
    try:
        write_bytes(path + COPY, content)
    except OSError:
        _unlink(path + COPY)
    try:
        write_bytes(path, content)
    except OSError:
        _unlink(path + COPY)
        raise


def set_aside(path: str) -> str:
    """Move the damaged file at `path` aside; its new path, '' if nothing was there."""
    aside = "%s.unreadable-%s" % (path, clock.now().replace(":", ""))
    if os.path.lexists(aside):
        aside += "-" + os.urandom(3).hex()
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return ""
    finally:
        _damaged.discard(path)
    note("%s on the pod was damaged; it was moved to %s" % (path, aside))
    return aside


def _write_private(path: str, content: bytes) -> None:
    write_atomic(path, content, 0o600)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
