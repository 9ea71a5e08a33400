"""P50: the repository at the requested commit, its environment, and the user's own commands."""

import os
from typing import Any, Dict, List, Optional

from pytest_wf.agent.control import (
    control_files,
    created_paths,
    frozen_campaign,
    journal,
    lease,
    state,
)
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import (
    data_contract,
    data_link,
    git_locks,
    install,
    same_code,
    torch_check,
    virtualenv,
    worktree,
)
from pytest_wf.agent.setup.git import SHOWN_PATHS, Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.setup.user_commands import UserCommands
from pytest_wf.wire import fsm
from pytest_wf.wire.files import BadJson, read_json, remove_file, write_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import NotOurs, is_our_folder, is_really_within, mark
from pytest_wf.wire.remotes import Wanted, remote


def checkout(session: Session, args: Args) -> Result:
    """Check the repository out; with ``verify`` only check that it is unchanged."""
    settings = session.settings
    log = StepLog(os.path.join(journal.folder(settings, session.request_id), "log"))
    repository = Repository(settings.repo, log)
    expected = str(args.get("expect_sha") or "")
    if args.get("verify") is True:
        return _verified(session, repository, expected, log, args)
    state.require(settings, "checkout")
    bundle = args.get("bundle")
    sha = _take(settings, repository, log, str(bundle) if bundle else "", expected)
    repository.exclude("/.venv")
    venv = virtualenv.make_venv(settings, log)
    data_link.refresh(settings, repository)
    before, packages = torch_check.check_torch_and_packages(settings, log)
    commands = UserCommands(settings, log, before)
    installed = install.install(commands, settings, log, sha, venv["version"], packages)
    torch = before
    if installed["installed"]:
        torch, packages = torch_check.check_torch_and_packages(settings, log)
        _compare_torch(before, torch)
    if settings["CHECKOUT_POST_CMD"].strip():
        commands.run("CHECKOUT_POST_CMD", "post-command")
        torch, packages = torch_check.check_torch_and_packages(settings, log)
        _compare_torch(before, torch)
    contracts = data_contract.check_contracts(settings, log, args.get("data"), verify=False)
    links = data_link.refresh(settings, repository)  # the commands may have fetched data
    dirty = repository.modified()
    result: Dict[str, Any] = {
        "git_sha": sha,
        "branch": settings["CHECKOUT_BRANCH"],
        "pr": settings["CHECKOUT_PR"],
        "remote": repository.origin(),
        "dirty": dirty[:SHOWN_PATHS],
        "submodules": repository.submodules(),
        "empty_submodules": repository.empty_submodules(),
        "lfs": repository.lfs_pointers(),
        "venv_python": venv["python"],
        "python": venv["version"],
        "torch": torch,
        "packages_sha256": install.remember(settings, sha, venv["version"], packages),
        "data": contracts,
        "data_links": links._asdict(),
        "verified_only": False,
        "warnings": control_files.findings(),
        **installed,
        **executor_of(settings).probe(),
    }
    if bundle and is_really_within(os.path.dirname(str(bundle)), settings.control):
        # its commits are in the repository now; none was sent if they were here already
        remove_file(str(bundle))
    lease.fence(settings, session.token)
    write_json(_record(settings), result)
    state.move(settings, "checkout", fsm.CHECKED_OUT, "checked out %s" % sha)
    # the list is in this answer only; what is kept is its digest
    return dict(result, packages=[one.line for one in packages], log_op_id=session.request_id)


def has_commit(session: Session, args: Args) -> Result:
    """Whether the repository has the commit ``sha``, so that its checkout needs no bundle."""
    repository = Repository(session.settings.repo, StepLog(os.devnull))
    sha = str(args.get("sha") or "")
    return {"has": same_code.is_commit(sha) and repository.exists() and repository.has(sha)}


def _compare_torch(before: Optional[Dict[str, Any]], after: Optional[Dict[str, Any]]) -> None:
    """Raise Refusal 'torch' if the user's commands changed the image's torch."""
    keys = ("version", "file", "cuda_version")
    was, now = ([(found or {}).get(key) for key in keys] for found in (before, after))
    if was != now:
        raise Refusal(
            "torch",
            "the commands of the checkout changed torch from %s to %s"
            % tuple((found or {}).get("version") or "none" for found in (before, after)),
            "Take torch out of what CHECKOUT_INSTALL_CMD and CHECKOUT_POST_CMD install: it is "
            "the image's.",
            {"before": before, "after": after},
        )


def _take(
    settings: Settings, repository: Repository, log: StepLog, bundle: str, expected: str
) -> str:
    """Check out the requested commit; its full id."""
    origin = remote(settings["REPO_URL"])
    url = "bundle" if bundle and origin.url == "." else origin.url
    _make_place(settings.repo, settings)
    wanted = Wanted(
        settings["CHECKOUT_BRANCH"],
        settings["CHECKOUT_PR"],
        (expected or settings["EXPECT_GIT_SHA"]).lower(),
    )
    git_locks.release(settings, log, "clone")
    if not repository.exists() or repository.origin() != url:
        if repository.exists() and not is_unfinished(settings, repository):
            raise _not_ours(settings.repo, repository.origin() or "no origin", url)
        digits = len(wanted.sha) or (40 if bundle else repository.digits(origin))
        repository.begin(url, digits)
        mark(os.path.join(settings.repo, ".git"), "clone of %s" % url)
    head = repository.head()
    if head:
        _clean(settings, repository)
    if bundle and not (expected and repository.has(expected)):
        sha = repository.take_bundle(bundle)
    else:
        sha = expected if bundle else repository.fetch(origin, wanted)
    if bundle and expected and sha != expected:
        raise Refusal(
            "wrong-sha",
            "the bundle holds %s, not %s" % (sha, expected),
            "Run the checkout again.",
            {"expected": expected, "found": sha},
        )
    if head != sha:
        data_link.clear(repository)
    repository.check_out(sha)
    worktree.refuse_taken(repository)
    return sha


def is_unfinished(settings: Settings, repository: Repository) -> bool:
    """Whether the repository is a clone of ours that was interrupted before it had an origin."""
    is_empty = not repository.head() and not repository.origin()
    return is_empty and settings.repo in created_paths.paths(settings)


def _make_place(path: str, settings: Settings) -> None:
    if os.path.lexists(path) and not os.path.isdir(path):
        raise _not_ours(path, "no directory", "a clone")
    if not os.path.isdir(path):
        created_paths.directory(settings, path)
    elif os.listdir(path) and not os.path.isdir(os.path.join(path, ".git")):
        raise _not_ours(path, "a directory with other files", "a clone")


def _clean(settings: Settings, repository: Repository) -> None:
    changed = repository.modified()
    if not changed:
        return
    if not settings.flag("CHECKOUT_FORCE_CLEAN"):
        raise _dirty(settings, changed)
    if not is_our_folder(os.path.join(settings.repo, ".git")):
        raise NotOurs(
            settings.repo,
            "It has modifications that CHECKOUT_FORCE_CLEAN=1 would throw away: commit or revert "
            "them there, or point OPS_REMOTE_REPO elsewhere.",
        )
    repository.reset()


def _verified(
    session: Session, repository: Repository, expected: str, log: StepLog, args: Args
) -> Result:
    """The result of the last checkout, if it still holds."""
    settings = session.settings
    own = _tree_of_campaign(settings, expected)
    if own:
        # the campaign has its own files; the checkout may be at another commit by now
        repository = Repository(own, log)
    found = repository.head() if own or repository.exists() else ""
    if not found:
        raise Refusal(
            "clone",
            "there is no checkout at %s on the pod" % settings.repo,
            "Start a new campaign with `--wf-sweep=start`.",
        )
    if expected and found != expected:
        raise Refusal(
            "wrong-sha",
            "the campaign is of %s, and the checkout is at %s" % (expected, found),
            "Set EXPECT_GIT_SHA=%s and run `wf checkout`, then resume." % expected,
            {"expected": expected, "found": found},
        )
    changed = repository.modified()
    if changed:
        raise _dirty(settings, changed)
    try:
        left = read_json(_record(settings))
    except (OSError, BadJson):
        left = {}
    if not isinstance(left, dict):
        left = {}
    if left.get("git_sha") != found:
        # the environment is shared: what is known of it holds for every commit
        shared = {key: left.get(key) for key in ("python", "torch", "packages_sha256")}
        left = dict(shared, git_sha=found, venv_python=settings.venv_python)
    contracts = data_contract.check_contracts(settings, log, args.get("data"), verify=True)
    found_now: Dict[str, Any] = {"dirty": [], "data": contracts, "verified_only": True}
    if args.get("resolve") is True:
        found_now.update(_asked(settings, repository))
    return dict(left, log_op_id=session.request_id, **found_now)


def _asked(settings: Settings, repository: Repository) -> Dict[str, str]:
    """The commit that the config asks for now, or why that is not known."""
    wanted = Wanted(settings["CHECKOUT_BRANCH"], settings["CHECKOUT_PR"], "")
    try:
        return {"asked_sha": repository.tip(remote(settings["REPO_URL"]), wanted)}
    except Refusal as e:
        return {"asked_why": e.message}


def _tree_of_campaign(settings: Settings, expected: str) -> str:
    """The latest campaign's working tree, if it is at `expected`; else ''."""
    campaign = frozen_campaign.readable_latest(settings) if expected else None
    if campaign is None or campaign.git_sha != expected or not os.path.isdir(campaign.tree):
        return ""
    return campaign.tree


def _record(settings: Settings) -> str:
    return os.path.join(settings.control, "checkout.json")


def _dirty(settings: Settings, changed: List[str]) -> Refusal:
    shown = changed[:SHOWN_PATHS]
    more = len(changed) - len(shown)
    return Refusal(
        "dirty-checkout",
        "%d tracked files in %s are modified: %s%s"
        % (len(changed), settings.repo, ", ".join(shown), ", and %d more" % more if more else ""),
        "Commit or revert them there, or set CHECKOUT_FORCE_CLEAN=1 to throw the changes away.",
        {"modified": shown, "count": len(changed)},
    )


def _not_ours(path: str, found: str, wanted: str) -> Refusal:
    return Refusal(
        "clone",
        "%s on the pod holds %s, not %s" % (path, found, wanted),
        "Point OPS_REMOTE_REPO elsewhere, or move what is there away.",
        {"path": path, "found": found},
    )
