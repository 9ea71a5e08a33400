"""What a flow would find on the pod, for `wf doctor`; changes nothing."""

import os
from typing import Any, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import control_files, created_paths, locks, volume
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import gpus, trackers
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import prerequisites, probe, torch_check, virtualenv
from pytest_wf.agent.setup.checkout import is_unfinished
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.sweep import existing_runs, run_archive
from pytest_wf.agent.sweep.existing_runs import Wish
from pytest_wf.agent.sweep.resume import with_damaged_marker
from pytest_wf.wire import environment, ids
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, POD_CONFIG, is_foreign_file
from pytest_wf.wire.remotes import Wanted, masked, remote
from pytest_wf.wire.rows import Row, listed
from pytest_wf.wire.safe_text import excerpt

#: How many paths a list names.
SHOWN = 20
_REMOTE_TIMEOUT_S = 60.0
_SCRIPT_KEYS = ("BOOTSTRAP_SCRIPT", "WANDB_SETUP_SCRIPT")
#: What the product keeps in the outputs directory, besides run directories.
_OWN = frozenset({"_control", "_manifests", "_archive", "_smoke", "_tasks"})


def readiness(session: Session, args: Args) -> Result:
    """Operation `readiness`: the facts that the checks of the controller judge.

    ``{rows, git_sha, …}``: what would be started, as in `operations.start`; `git_sha` is '' if
    it is not known here.
    """
    settings = session.settings
    visible = gpus.detect(settings)
    remote = _remote(settings)
    venv = virtualenv.outlook(settings, _no_log())
    missing = prerequisites.missing_prerequisites(settings)
    return {
        **probe.probe(session, {}),
        "missing": prerequisites.described(settings, missing),
        "apt": _shown(prerequisites.apt_outlook(settings, missing)),
        "venv": _shown(venv.refusal),
        "torch": _torch(settings, venv),
        "visible_gpus": visible.names,
        "gpu_source": visible.source,
        "gpu_users": gpus.users_of(visible.names),
        "places": _places(settings),
        "repository": _repository(settings),
        "remote": remote,
        "scripts": {key: _script(settings[key]) for key in _SCRIPT_KEYS if settings[key]},
        "start": _start(settings, args, str(remote.get("sha") or "")),
        "unknown_files": _unknown_files(settings),
        "wandb_login": trackers.has_wandb_login(os.environ),
    }


def _shown(refusal: Optional[Refusal]) -> Dict[str, str]:
    """A refusal as the controller's checks read it; {} if there is none."""
    if refusal is None:
        return {}
    return {"kind": refusal.kind, "message": refusal.message, "remedy": refusal.remedy}


def _torch(settings: Settings, venv: virtualenv.Outlook) -> Dict[str, Any]:
    """The torch of the checkout's environment, or of the python that it is made from."""
    made = os.access(settings.venv_python, os.X_OK) and not venv.is_made_anew
    python = settings.venv_python if made else settings["REMOTE_PYTHON_BIN"]
    torch, error = torch_check.find_torch(settings, _no_log(), python)
    sees_gpus = executor_of(settings).runs_here
    why = torch_check.why_unfit(settings, torch, error, sees_gpus)
    return {"python": python, "torch": torch, "error": error, "unfit": why}


def _places(settings: Settings) -> Dict[str, Any]:
    """For each path of the config: whether it exists, is writable, and the free space there."""
    places = {}
    for key in (*probe.PATH_KEYS, "WF_STATE_FILE"):
        path = settings[key]
        if not path.startswith("/"):
            continue
        at = probe.nearest(path)
        space = os.statvfs(at)
        places[key] = {
            "path": path,
            "exists": os.path.exists(path),
            "at": at,
            "is_folder": os.path.isdir(at),
            "foreign": key == "REMOTE_ENV_PATH" and is_foreign_file(path, POD_CONFIG),
            "writable": os.access(at, os.W_OK) and not space.f_flag & os.ST_RDONLY,
            "free_bytes": space.f_bavail * space.f_frsize,
            # some file systems do not count inodes
            "free_inodes": space.f_favail if space.f_files else None,
            "mount": created_paths.mount_of(at),
            "object_store": volume.object_store(at) if key in volume.KEYS else "",
            "no_locks": locks.why_none(_folder_of(at)) if key in volume.KEYS else "",
        }
    return places


def _folder_of(path: str) -> str:
    return path if os.path.isdir(path) else os.path.dirname(path)


def _repository(settings: Settings) -> Dict[str, Any]:
    """What is at OPS_REMOTE_REPO: nothing, a clone, or something else."""
    path = settings.repo
    if not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path)):
        return {"kind": "none"}
    repository = Repository(path, _no_log())
    if not os.path.isdir(path) or not repository.exists():
        return {"kind": "other"}
    own = settings["REPO_URL"]
    return {
        "kind": "clone",
        "wanted_origin": "bundle" if own == "." else remote(own).url,
        "head": repository.head(),
        "origin": repository.origin(),
        "unfinished": is_unfinished(settings, repository),
        "modified": repository.modified()[:SHOWN] if repository.head() else [],
        "empty_submodules": repository.empty_submodules()[:SHOWN],
        "lfs": repository.lfs_pointers()[:SHOWN],
    }


def _remote(settings: Settings) -> Dict[str, Any]:
    """Whether the pod can read REPO_URL and finds what is asked for; {} if it need not."""
    if settings["REPO_URL"] == "." or settings["CHECKOUT_VIA"] != "pod":
        return {}
    origin = remote(settings["REPO_URL"])
    argv = ["git", "-c", "protocol.ext.allow=never", "ls-remote", "--quiet", "--", origin.url]
    done = process.output(argv, _REMOTE_TIMEOUT_S, env=environment.of_git(origin.env))
    if not done.ok:
        said = excerpt(masked(done.stderr))
        return {"url": origin.url, "ok": False, "error": said or "timed out"}
    listed_refs = [line.partition("\t") for line in done.stdout.splitlines()]
    refs = {ref: sha for sha, _, ref in listed_refs}
    keys = ("CHECKOUT_BRANCH", "CHECKOUT_PR", "EXPECT_GIT_SHA")
    wanted = Wanted(*(settings[key] for key in keys))
    is_commit_alone = wanted.sha and not wanted.branch and not wanted.change
    found = bool(is_commit_alone) or any(ref in refs for ref in wanted.refs)
    error = "" if found else "it has no %s" % wanted.what
    # for an annotated tag, the second one is the commit
    tips = [refs.get(ref + "^{}") or refs.get(ref) for ref in wanted.refs]
    tip = wanted.sha or next((tip for tip in tips if tip), "")
    return {"url": origin.url, "ok": found, "error": error, "sha": tip}


def _start(settings: Settings, args: Args, tip: str) -> Dict[str, Any]:
    """What a start would do with the runs that are there: how many are adopted, trained again and
    new; or why it would be refused, with the remedy.

    `tip` is the commit that the pod would fetch. If the commit is not known, every commit counts as
    the same.
    """
    rows = _without_damaged(settings, listed(args, "rows", Row.from_json))
    is_here = bool(tip) and Repository(settings.repo, _no_log()).has(tip)
    git_sha = str(args.get("git_sha") or "") or (tip if is_here else "")
    try:
        planned = existing_runs.plan(settings, rows, Wish.of(args, git_sha))
    except Refusal as e:
        return dict(_shown(e))
    known: Dict[str, Any] = {"plan": planned.counts, "archive": run_archive.measured(settings)}
    return dict(known, git_sha=git_sha)


def _without_damaged(settings: Settings, rows: List[Row]) -> List[Row]:
    """`rows` without those whose runs a start would mark again first."""
    damaged = {row.run_id for row in rows if with_damaged_marker(settings, row.run_id) is not None}
    for run_id in sorted(damaged):
        path = os.path.join(settings.run_dir(run_id), MARKER)
        control_files.note("%s on the pod is damaged; a start writes it again" % path)
    return [row for row in rows if row.run_id not in damaged]


def _script(path: str) -> Dict[str, Any]:
    return {"path": path, "is_file": os.path.isfile(path), "readable": os.access(path, os.R_OK)}


def _unknown_files(settings: Settings) -> List[str]:
    """Names of entries of the outputs directory that this product did not create."""
    try:
        names = sorted(os.listdir(settings.outputs))
    except OSError:
        return []
    try:
        made = created_paths.paths(settings)
    except control_files.Damaged as e:
        control_files.note("%s; nothing is deleted without it" % e.message)
        return []
    known = {os.path.basename(path) for path in made} | _OWN
    return [name for name in names if name not in known and not _is_run(settings, name)][:SHOWN]


def _is_run(settings: Settings, name: str) -> bool:
    return ids.is_id(name) and existing_runs.owner_of(settings.run_dir(name)) != "unknown"


def _no_log() -> StepLog:
    return StepLog(os.devnull)
