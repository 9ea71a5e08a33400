"""Operation `listing`: what the directories of runs hold, and which files could not be copied."""

import os
from typing import Any, Dict, List

from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results import local_out
from pytest_wf.agent.results.listing import Contents, Earlier, checked_ids, contents_of
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, read_json
from pytest_wf.wire.ownership import MARKER
from pytest_wf.wire.safe_text import quoted


def listing(session: Session, args: Args) -> Result:
    """Operation `listing`: ``{run_ids}`` -> ``{runs}``.

    ``runs`` maps each run that has a directory to its `Contents`, all names `quoted`; files that
    only its local directory has are among the odd ones.
    """
    runs: Dict[str, Dict[str, Any]] = {}
    for run_path in checked_ids(args.get("run_ids")):
        root = session.settings.run_dir(run_path)
        if os.path.lexists(root):
            found = contents_of(root, _earlier(session.settings, root))
            found.odd.extend(local_out.lacking(session.settings, run_path, found))
            runs[run_path] = _as_json(found)
    return {"runs": runs}


def _earlier(settings: Settings, root: str) -> List[Earlier]:
    """Where the trainer of the run at `root` saw its folders, by the record of who made it.

    A run of the archive was moved; with RUN_OUT_MODE=local_sync its ``out/`` is a copy.
    """
    try:
        made = read_json(os.path.join(root, MARKER))
    except (OSError, BadJson):
        return []
    what = str(made.get("what") if isinstance(made, dict) else "").split(" ")
    if len(what) != 4 or not ids.is_id(what[1]):
        return []
    places = [(settings.run_dir(what[1]), "")]
    if settings["RUN_OUT_MODE"] == "local_sync":
        places.append((os.path.join(settings["RUN_OUT_LOCAL_ROOT"], what[1]), "out"))
    return [(at, path) for place, path in places for at in {place, os.path.realpath(place)}]


def _as_json(found: Contents) -> Dict[str, Any]:
    """`found` with its names as the controller reads them in an answer: `quoted`."""
    return {
        "files": [(quoted(path), size, mtime_ns) for path, size, mtime_ns in found.files],
        "links": [(quoted(path), quoted(to)) for path, to in found.links],
        "folders": [quoted(path) for path in found.folders],
        "odd": [(quoted(path), size, why) for path, size, why in found.odd],
        "holes": found.holes,
    }
