"""Strict reading of control files: one that is damaged or foreign is never taken for absent."""

from typing import Any, Dict, Optional

from pytest_wf.wire.files import MAX_JSON_BYTES, BadJson, read_json
from pytest_wf.wire.messages import Refusal

_LOOK = "Look at the file; if it is damaged, move it away."


def read(
    path: str,
    schema: Optional[int] = None,
    max_bytes: int = MAX_JSON_BYTES,
    remedy: str = _LOOK,
) -> Optional[Dict[str, Any]]:
    """The JSON object in the control file at `path`; None where there is no file.

    Raises Refusal 'state-unreadable' where it is damaged or of another version than `schema`.
    """
    try:
        found = read_json(path, max_bytes)
    except FileNotFoundError:
        return None
    except (OSError, BadJson) as e:
        raise unreadable(path, str(e), remedy) from None
    if not isinstance(found, dict):
        raise unreadable(path, "not a JSON object", remedy)
    if schema is not None and found.get("schema") != schema:
        if type(found.get("schema")) is not int:
            raise unreadable(path, "it has no schema number", remedy)
        raise incompatible(path)
    return found


def unreadable(path: str, why: str, remedy: str = _LOOK) -> Refusal:
    """The refusal for a control file that is damaged."""
    return Refusal(
        "state-unreadable",
        "%s on the pod cannot be read: %s" % (path, why),
        remedy,
        {"path": path},
    )


def incompatible(path: str) -> Refusal:
    """The refusal for a control file whose form is not that of this version."""
    return Refusal(
        "state-unreadable",
        "%s on the pod cannot be read: it was written by an incompatible version of pytest-wf"
        % path,
        "Use that version, or begin afresh: move the outputs directory away, or set another "
        "OPS_REMOTE_OUTPUTS_DIR.",
        {"path": path},
    )
