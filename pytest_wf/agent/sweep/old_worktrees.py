"""Working trees of campaigns that are over: removed once nothing needs or remembers them.

A tree goes when its campaign is not the latest, has no supervisor at work, and owns none of the
run directories (they were moved to the archive); when no process of this user works in it; and
when it holds nothing but what git, or a link to the checkout, has elsewhere. Whatever cannot be
told of its files keeps it. No result is ever in a tree.
"""

import os
import shutil
from typing import List, Set

from pytest_wf.agent.control import frozen_campaign
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.sweep import existing_runs
from pytest_wf.wire import ids
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import TREES, is_our_folder

#: Of a longer list of files the beginning is not known (`steps.TAIL_CHARS`).
_MOST_CHARS = 200 * 1024


def remove(settings: Settings, latest: str) -> List[str]:
    """Remove the trees that nothing needs; ids of their campaigns.

    Never raises: a tree that stays costs room and nothing else. Called under the lock over
    campaigns, before the campaign `latest` makes run directories.
    """
    removed: List[str] = []
    for campaign in unneeded(settings, latest):
        try:
            shutil.rmtree(campaign.tree)
            removed.append(campaign.campaign_id)
        except OSError:
            continue
    if removed:
        log = StepLog(os.path.join(settings.campaigns, removed[-1], "tree.log"))
        Repository(settings.repo, log).git("worktree", "prune")
    return removed


def unneeded(settings: Settings, latest: str) -> List[Campaign]:
    """The campaigns whose trees nothing needs: the latest one is `latest`. Never raises."""
    root = os.path.join(settings.repo, TREES)
    try:
        names = sorted(os.listdir(root)) if is_our_folder(root) else []
        owners = _owners(settings)
    except OSError:
        return []
    found: List[Campaign] = []
    for name in names:
        path = os.path.join(root, name)
        if name == latest or not ids.is_id(name) or name in owners or "unknown" in owners:
            continue
        try:
            campaign = frozen_campaign.find(settings, name)
            if campaign.tree != path or frozen_campaign.is_supervised(campaign):
                continue
            if _holds_nothing_of_its_own(campaign) and not _is_worked_in(path):
                found.append(campaign)
        except (OSError, Refusal):
            continue
    return found


def _owners(settings: Settings) -> Set[str]:
    """The campaigns whose run directories stand; 'unknown' where one does not say whose it is."""
    return {
        existing_runs.owner_of(entry.path)
        for entry in os.scandir(settings.outputs)
        if ids.is_id(entry.name) and entry.is_dir()
    }


def _holds_nothing_of_its_own(campaign: Campaign) -> bool:
    """Whether all files of a tree are those of its commit, links, or made again by Python."""
    repository = Repository(campaign.tree, StepLog(os.path.join(campaign.folder, "tree.log")))
    if repository.head() != campaign.git_sha or repository.modified():
        return False
    listed = repository.git("ls-files", "--others", "-z")
    if not listed.ok or len(listed.output) >= _MOST_CHARS:
        return False
    names = [name for name in listed.output.split("\0") if name]
    return all(
        "__pycache__" in name.split("/") or os.path.islink(os.path.join(campaign.tree, name))
        for name in names
    )


def _is_worked_in(path: str) -> bool:
    """Whether some process has its working directory there, such as one that outlived its row."""
    inside = os.path.realpath(path)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink("/proc/%s/cwd" % pid)
        except OSError:
            continue  # it ended, or belongs to another user
        if (where + os.sep).startswith(inside + os.sep):
            return True
    return False
