"""Run directories that already exist when a campaign starts: adopted, archived, or refused."""

import os
from typing import Dict, List, Optional, Tuple

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.run_dir import Unreadable, read_object, read_result
from pytest_wf.wire import ids
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import NotOurs, is_foreign_folder
from pytest_wf.wire.rows import Row, RunResult
from pytest_wf.wire.states import DRY_RUN, UNKNOWN

#: How many runs a refusal names in its text; its facts name them all.
_SHOWN = 10


def resolve_existing_runs(
    settings: Settings, rows: List[Row], git_sha: str, force: bool
) -> Tuple[List[Row], List[Dict[str, str]]]:
    """Do as `plan` says: the rows, and what was moved to the archive. Raises as it does."""
    found, away = plan(settings, rows, git_sha, force)
    return found, [_move(settings, run_id, owner) for run_id, owner in away]


def plan(
    settings: Settings, rows: List[Row], git_sha: str, force: bool
) -> Tuple[List[Row], List[Tuple[str, str]]]:
    """The rows, those marked whose result is adopted, and which run directories have to be moved
    to the archive, each with the campaign that it belongs to. Changes nothing.

    A directory is adopted when it holds a good result of the same config, seed, overrides
    and commit ('' for any). Any other raises a Refusal that names all of them, 'run-differs' where
    one was trained otherwise, so that a resume does not make it this row's, else 'run-exists'; with
    `force` all are moved away and none is adopted. What a dry run left is moved away in any
    case, as nothing ever ran there. What this product did not make is never moved: it raises
    Refusal 'run-exists' with `force` too.
    """
    refuse_foreign(settings, rows)
    found: List[Row] = []
    away: List[Tuple[str, str]] = []
    conflicts: Dict[str, str] = {}
    for row in rows:
        path = settings.run_dir(row.run_id)
        if not os.path.lexists(path):
            found.append(row)
            continue
        result = _result(path)
        difference = "" if force else _difference(row, path, result, git_sha)
        if result is not None and not force and not difference:
            found.append(row._replace(adopted_from=result.campaign_id))
            continue
        found.append(row)
        if force or (result is not None and result.state == DRY_RUN):
            away.append((row.run_id, owner_of(path)))
        else:
            conflicts[row.run_id] = difference
    if conflicts:
        raise _refusal(conflicts)
    return found, away


def refuse_foreign(settings: Settings, rows: List[Row]) -> None:
    """Raise Refusal 'run-exists' where something else is in the place of a run."""
    found = [settings.run_dir(row.run_id) for row in rows]
    foreign = [path for path in found if is_foreign_folder(path)]
    foreign += mirror.foreign(settings, rows)
    if foreign:
        raise Refusal(
            "run-exists",
            "; ".join(NotOurs(path).message for path in foreign[:_SHOWN]),
            "Move them away, or give these rows other ids.",
            {"paths": foreign},
        )


def _difference(row: Row, path: str, result: Optional[RunResult], git_sha: str) -> str:
    """Why the directory's result is not this row's; '' where it is."""
    if os.path.islink(path) or not os.path.isdir(path):
        return "not a directory"
    if result is None:
        return "state %s" % UNKNOWN
    if result.run_id != row.run_id:
        return "of another run"
    wanted = {
        "config": row.config,
        "seed": row.seed,
        "overrides": row.overrides,
        "git_sha": git_sha,
    }
    if not git_sha:
        del wanted["git_sha"]
    others = [key for key, value in sorted(wanted.items()) if getattr(result, key) != value]
    if others:
        return "another %s" % ", ".join(others)
    return "" if result.ok else "state %s" % result.state


def owner_of(path: str) -> str:
    """The campaign that a run directory belongs to; 'unknown' where it does not say."""
    for name in ("summary.json", "status.json"):
        try:
            record = read_object(os.path.join(path, name)) or {}
        except Unreadable:
            continue
        owner = record.get("campaign_id")
        if isinstance(owner, str) and ids.is_id(owner):
            return owner
    return "unknown"


def _move(settings: Settings, run_id: str, owner: str) -> Dict[str, str]:
    created_paths.directory(settings, settings.archive)
    folder = os.path.join(settings.archive, owner)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    place = os.path.join(folder, run_id)
    count = 1
    while os.path.lexists(place):
        count += 1
        place = os.path.join(folder, "%s.%d" % (run_id, count))
    os.rename(settings.run_dir(run_id), place)
    return {"run_id": run_id, "campaign_id": owner, "to": place}


def _refusal(conflicts: Dict[str, str]) -> Refusal:
    names = ["%s (%s)" % pair for pair in sorted(conflicts.items())]
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN]) + (" and %d more" % more if more > 0 else "")
    facts = {"run_ids": sorted(conflicts), "why": conflicts}
    message = "these run directories already exist: %s" % shown
    if all(why.startswith("state ") for why in conflicts.values()):
        remedy = "Go on with them by `--wf-sweep=resume`, or move them to the archive with"
        return Refusal("run-exists", message, remedy + " SWEEP_FORCE=1.", facts)
    remedy = "Set SWEEP_FORCE=1 to move them to the archive, or give these rows other ids."
    return Refusal("run-differs", message, remedy, facts)


def _result(path: str) -> Optional[RunResult]:
    """How the run in a directory ended; None where that cannot be read."""
    try:
        return read_result(os.path.join(path, "summary.json"))
    except Unreadable:
        return None
