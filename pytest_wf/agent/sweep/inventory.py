"""Every run directory on the pod: those of the campaigns' rows, and those in the archive; and
what of it may be removed."""

import os
from contextlib import suppress
from typing import Iterator, List, Tuple

from pytest_wf.agent.control import frozen_campaign, locks
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import Unreadable, read_result
from pytest_wf.agent.sweep import old_worktrees, run_archive
from pytest_wf.agent.sweep.existing_runs import owner_of
from pytest_wf.wire import ids
from pytest_wf.wire.rows import FoundRun
from pytest_wf.wire.states import DRY_RUN, UNKNOWN


def inventory(session: Session, args: Args) -> Result:
    """Operation `inventory`: ``{trees?}`` -> ``{"runs": [`FoundRun`, ...], "trees": [...]}``.

    With `trees`, the campaigns whose working trees nothing needs any more.
    """
    runs = []
    for path, folder in _run_directories(session.settings):
        try:
            result = read_result(os.path.join(folder, "summary.json"))
        except Unreadable:
            result = None
        state = result.state if result is not None else UNKNOWN
        git_sha = result.git_sha if result is not None else ""
        runs.append(FoundRun(path, owner_of(folder), state, git_sha)._asdict())
    trees = unneeded_trees(session.settings) if args.get("trees") is True else []
    return {"runs": runs, "trees": trees}


def trained_commits(settings: Settings) -> List[str]:
    """The commits of all runs that have results, including the archive."""
    found = set()
    for _path, folder in _run_directories(settings):
        with suppress(Unreadable):
            result = read_result(os.path.join(folder, "summary.json"))
            if result is not None and result.state != DRY_RUN:
                found.add(result.git_sha)
    return sorted(found - {""})


def unneeded_trees(settings: Settings) -> List[str]:
    """The campaigns whose working trees nothing needs any more."""
    latest = frozen_campaign.latest(settings)
    if latest is None:
        return []
    return [one.campaign_id for one in old_worktrees.unneeded(settings, latest.campaign_id)]


def prune(session: Session, args: Args) -> Result:
    """Operation `prune`: ``{archived: [path, ...], trees}`` -> those runs and trees that are gone.

    Neither has anything that runs. The controller says which runs may go.
    """
    settings = session.settings
    with locks.locked(frozen_campaign.lock_path(settings)):
        wanted = [str(path) for path in args.get("archived") or ()]
        latest = frozen_campaign.latest(settings)
        is_asked = args.get("trees") is True
        trees = old_worktrees.remove(settings, latest.campaign_id) if is_asked and latest else []
        return {"archived": run_archive.drop(settings, wanted), "trees": trees}


def _run_directories(settings: Settings) -> Iterator[Tuple[str, str]]:
    """Path and folder of each; `OSError` if a directory cannot be listed."""
    places = [("", settings.outputs)]
    for campaign_id in _folders(settings.archive):
        if ids.is_id(campaign_id):
            prefix = "%s/%s/" % (ids.ARCHIVE, campaign_id)
            places.append((prefix, os.path.join(settings.archive, campaign_id)))
    for prefix, parent in places:
        for name in _folders(parent):
            if ids.is_id(name):
                yield prefix + name, os.path.join(parent, name)


def _folders(parent: str) -> Iterator[str]:
    if os.path.isdir(parent):
        with os.scandir(parent) as entries:
            yield from sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
