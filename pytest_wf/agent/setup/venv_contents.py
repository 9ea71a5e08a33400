"""What a virtual environment held when it was created, and what was added since."""

import glob
import os
import re
from typing import Any, Dict, List, Set

from pytest_wf.wire.files import BadJson, read_json, write_json
from pytest_wf.wire.ownership import MARKER, SCHEMA

#: Marks metadata in an environment as that of a package of the image.
STAND_IN = "pytest-wf"
_PLACES = ("*", "bin/*", "lib/python*/site-packages/*")
_OURS = frozenset((MARKER, "__pycache__", "pip.conf"))


def remember(where: str, about: Dict[str, Any]) -> None:
    """Record what the new environment at `where` holds, together with the facts `about`."""
    record = dict(about, schema=SCHEMA, contents=sorted(found(where)))
    write_json(os.path.join(where, MARKER), record)


def remember_more(where: str, before: Set[str]) -> None:
    """Record what is there now and was not in `before` as part of the environment."""
    path = os.path.join(where, MARKER)
    record = read_json(path)
    contents = set(record.get("contents", ())) | (found(where) - before)
    write_json(path, dict(record, contents=sorted(contents)))


def added(where: str) -> List[str]:
    """What was added to the environment since: packages if there are any, else files."""
    try:
        record = read_json(os.path.join(where, MARKER))
    except (OSError, BadJson):
        record = {}
    new = sorted(found(where) - set(record.get("contents", ())))
    named = [re.fullmatch(r".*/(.+?)-([^-]+)\.(?:dist|egg)-info", path) for path in new]
    packages = ["%s %s" % match.group(1, 2) for match in named if match]
    return packages or new


def found(where: str) -> Set[str]:
    """Paths in the environment, two levels deep, without our own files."""
    root = glob.escape(where)
    paths = {path for place in _PLACES for path in glob.glob(os.path.join(root, place))}
    return {os.path.relpath(path, where) for path in paths if not _is_ours(path)}


def is_stand_in(path: str) -> bool:
    """Whether a folder is metadata that we wrote for a package of the image."""
    try:
        with open(os.path.join(path, "INSTALLER"), encoding="utf-8", errors="replace") as f:
            return f.read(100).strip() == STAND_IN
    except OSError:
        return False


def _is_ours(path: str) -> bool:
    name = os.path.basename(path)
    return name in _OURS or name.startswith("wf-") or is_stand_in(path)
