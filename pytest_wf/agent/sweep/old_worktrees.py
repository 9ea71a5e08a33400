"""Working trees of ended campaigns: removed when nothing needs them.

A tree is removed if its campaign is not the latest, has no running supervisor, and owns no run
directory (they were moved to the archive). No process of this user may work in the tree, and all
its content must exist elsewhere, in git or behind a link to the checkout. If any of this cannot be
determined, the tree stays. No result is ever in a tree.
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

#: The beginning of a longer list of files is not known (`logged_step.TAIL_CHARS`).
_MOST_CHARS = 200 * 1024


def remove(settings: Settings, latest: str) -> List[str]:
    """Remove the trees that nothing needs; ids of their campaigns.

    Never raises: a tree that stays only costs disk space. Called under the lock over campaigns,
    before the campaign `latest` makes run directories.
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
    """The campaigns that own run directories; 'unknown' for a directory that names none."""
    return {
        existing_runs.owner_of(entry.path)
        for entry in os.scandir(settings.outputs)
        if ids.is_id(entry.name) and entry.is_dir()
    }


def _holds_nothing_of_its_own(campaign: Campaign) -> bool:
    """Whether all files of a tree are those of its commit, links, or recreated by Python."""
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
