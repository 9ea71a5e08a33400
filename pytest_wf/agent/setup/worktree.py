"""A campaign's own working tree: the files of its commit, which no later checkout changes.

The tree is a git worktree below the repository. Untracked files of the checkout (the environment,
links to data, what the user's commands created) are linked into it.
"""

import os
import shutil
from typing import List

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import data_link, git_locks
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog, run_step
from pytest_wf.wire import environment
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import TREES, NotOurs, is_foreign_folder, make_folder

_LFS_TIMEOUT_S = 600.0


def make(settings: Settings, log: StepLog, campaign_id: str, git_sha: str) -> str:
    """The campaign's tree at its commit, made or found as it was made; its path.

    '' if there is no repository: the files in its place are run as they are. Raises NotOurs;
    Refusal 'launch' if git cannot make it, 'dirty-checkout' if it was changed.
    """
    repository = Repository(settings.repo, log)
    if not repository.exists():
        return ""
    path = os.path.join(settings.repo, TREES, campaign_id)
    tree = Repository(path, log)
    refuse_taken(repository)
    is_whole = os.path.isdir(path) and os.path.exists(_whole_mark(settings, campaign_id))
    if is_whole and tree.head() == git_sha:
        refuse_changes(tree)
        data_link.refresh_tree(settings, tree)
        return path
    git_locks.release(settings, log, "launch")
    if not repository.has(git_sha):
        raise _refused(path, "commit %s is not in %s" % (git_sha, settings.repo))
    repository.exclude("/" + TREES)
    folder = os.path.join(settings.repo, TREES)
    created_paths.directory(settings, folder)
    make_folder(folder, "working trees of campaigns")
    if os.path.isdir(path):
        shutil.rmtree(path)
    if os.path.lexists(os.path.join(repository.git_dir, "worktrees", campaign_id)):
        repository.git("worktree", "prune")
    done = repository.git("worktree", "add", "--quiet", "--detach", "--", path, git_sha)
    if not done.ok or tree.head() != git_sha:
        raise _refused(path, done.says())
    _bring_lfs(tree, log)
    _link_rest(repository, path)
    _link_submodules(repository, path)
    data_link.refresh_tree(settings, tree)
    with open(_whole_mark(settings, campaign_id), "wb"):
        pass
    return path


def refuse_taken(repository: Repository) -> None:
    """Raise NotOurs if something else, such as a link out of it, is in the place of the trees."""
    path = os.path.join(repository.path, TREES)
    if is_foreign_folder(path) or repository.is_tracked(TREES):
        raise NotOurs(path, "Rename it in the repository: campaigns have their files there.")


def refuse_changes(tree: Repository) -> None:
    """Raise Refusal 'dirty-checkout' if tracked files of `tree` differ from its commit."""
    changed = tree.modified()
    if changed:
        raise Refusal(
            "dirty-checkout",
            "files of the campaign were changed in %s: %s" % (tree.path, ", ".join(changed[:20])),
            "Revert them there (`git -C %s checkout -- .`), or start a new campaign." % tree.path,
            {"modified": changed[:20], "count": len(changed)},
        )


def _bring_lfs(tree: Repository, log: StepLog) -> None:
    """Check out files that git LFS fetched before; those that were not fetched stay pointers."""
    if shutil.which("git-lfs") and tree.lfs_pointers():
        argv = ["git", "-C", tree.path, "lfs", "checkout"]
        run_step(log, argv, timeout_s=_LFS_TIMEOUT_S, env=environment.of_git())


def _link_rest(repository: Repository, path: str) -> None:
    """Link what is in the checkout and not in git, as whole directories where possible."""
    for name in _untracked(repository):
        source, link = os.path.join(repository.path, name), os.path.join(path, name)
        folder = os.path.realpath(os.path.dirname(link))
        inside = (folder + os.sep).startswith(os.path.realpath(path) + os.sep)
        if not inside or os.path.lexists(link):
            continue
        os.makedirs(folder, exist_ok=True)
        os.symlink(source, link)


def _link_submodules(repository: Repository, path: str) -> None:
    """Link submodules that the user's commands fetched; git creates only empty folders for them."""
    for name in repository.submodules():
        source, folder = os.path.join(repository.path, name), os.path.join(path, name)
        if not os.path.isdir(source) or not os.path.isdir(folder) or os.listdir(folder):
            continue
        for entry in os.listdir(source):
            if entry != ".git":  # the submodule would seem to be checked out there
                os.symlink(os.path.join(source, entry), os.path.join(folder, entry))


def _untracked(repository: Repository) -> List[str]:
    listed = repository.git("ls-files", "--others", "--directory", "--no-empty-directory", "-z")
    names = [name.rstrip("/") for name in listed.output.split("\0") if name]
    spared = (TREES, "__pycache__")
    data = data_link.recorded(repository)
    return [
        name
        for name in names
        if name not in data and not any(part in spared for part in name.split("/"))
    ]


def _whole_mark(settings: Settings, campaign_id: str) -> str:
    return os.path.join(settings.repo, ".git", "worktrees", campaign_id, "wf-whole")


def _refused(path: str, why: str) -> Refusal:
    return Refusal(
        "launch",
        "the campaign's working tree %s cannot be made: %s" % (path, why),
        "Run `wf checkout`, or look at the log beside the campaign.",
        {"path": path},
    )
