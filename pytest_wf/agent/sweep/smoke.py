"""The smoke run: the first row that a start would train, cut short, in a folder of its own.

It is executed like a row: by the executor, with a runner, at the commit's own working tree. Its
folder, `_smoke` in the outputs directory, holds no result: nothing lists, fetches or adopts it. If
the run failed, the folder stays until the next start.
"""

import os
import shlex
import shutil
import time
from typing import Any, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock, created_paths, frozen_campaign, journal, lease, locks
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import SMOKE, Settings
from pytest_wf.agent.run.executor import Executor, Handle, executor_of
from pytest_wf.agent.run.run_dir import RowDir, Unreadable, summary_of
from pytest_wf.agent.setup import worktree
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.sweep import launch, start_request
from pytest_wf.agent.sweep.existing_runs import owner_of
from pytest_wf.agent.sweep.rows import attempts
from pytest_wf.agent.sweep.start_request import StartRequest
from pytest_wf.wire import ids
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import TREES, NotOurs, is_foreign_folder, is_our_folder, make_folder
from pytest_wf.wire.rows import Row
from pytest_wf.wire.states import TIMED_OUT

#: The folder of the smoke run, below the outputs directory.
FOLDER = "_smoke"
#: Prefix of the id of its campaign.
_CAMPAIGN = "smoke-"
_NUMBER = 1
#: Seconds between two looks at the runner.
LOOK_S = 0.2
TAIL_LINES = 200


def smoke(session: Session, args: Args) -> Result:
    """Operation `smoke`: run the first row that a start would train, cut short, to its end.

    `args` are those of a start. ``{result, overrides, log, log_tail}``; `result` says how it ended,
    in the form of a row's ``summary.json``; it is None if nothing would be trained. Refusals: those
    of a start, and 'lease-lost' if another controller took the pod meanwhile.
    """
    settings = session.settings
    with locks.locked(launch.lock_path(settings)):
        asked = start_request.checked(settings, args, frozen_campaign.readable_latest(settings))
        clear(settings)
        row = asked.first_trained
        if row is None:
            return {"result": None}
        here = _prepare(settings, asked, _shortened(settings, row))
    log = StepLog(os.path.join(journal.folder(settings, session.request_id), "log"))
    log.write("row %s, cut short by %s\n" % (row.run_id, settings["SMOKE_OVERRIDES"]))
    result = _run(session, here, launch.secrets_of(args))
    if result.get("left"):
        raise _still_there(result["left"])
    tail = _tail(here)
    found = summary_of(here.campaign, here.row, result)
    if found.ok:
        clear(settings)
    return {
        "result": found.as_json(),
        "overrides": settings["SMOKE_OVERRIDES"],
        "log": here.attempt(_NUMBER, "stdout.log"),
        "log_tail": tail,
    }


def clear(settings: Settings) -> None:
    """Remove an earlier smoke run, and end its processes.

    Its controller, or the process that waited for it, was killed. Raises Refusal 'launch' if a
    process could not be ended.
    """
    for here in _left(settings):
        executor, handle = executor_of(here.campaign.settings), here.handle(_NUMBER)
        if process.holders(here.cookie(_NUMBER)) or (handle and executor.is_alive(handle)):
            _end(executor, here, handle)
        _remove_tree(settings, here)
    if is_our_folder(_folder(settings)):
        _remove(_folder(settings))


def _folder(settings: Settings) -> str:
    return os.path.join(settings.outputs, FOLDER)


def _shortened(settings: Settings, row: Row) -> Row:
    """The row as the smoke run trains it."""
    more = settings["SMOKE_OVERRIDES"]
    short = row._replace(
        overrides=("%s %s" % (row.overrides, more)).strip(),
        argv=(*row.argv, *shlex.split(more)),
        timeout_s=settings.int("SMOKE_TIMEOUT_SECS"),
    )
    launch.require_own_names(settings, [short])
    return short


def _prepare(settings: Settings, asked: StartRequest, row: Row) -> RowDir:
    """Make the folder and the working tree of the smoke run. Raises NotOurs, OSError, Refusal."""
    folder = _folder(settings)
    if is_foreign_folder(folder):
        raise NotOurs(folder)
    created_paths.cover(settings, folder)
    make_folder(folder, "the smoke run", settings.project)
    here = _row_dir(settings, _CAMPAIGN + os.urandom(6).hex(), row)
    # before the working tree: it records whose that is
    make_folder(here.path, here.made, settings.project)
    log = StepLog(os.path.join(folder, "tree.log"))
    tree = worktree.make(settings, log, here.campaign.campaign_id, asked.git_sha)
    return RowDir(here.campaign._replace(git_sha=asked.git_sha, tree=tree), row)


def _row_dir(settings: Settings, campaign_id: str, row: Row) -> RowDir:
    """The directory of the smoke run, for a campaign of one row that no pod records."""
    own = {"OPS_REMOTE_OUTPUTS_DIR": _folder(settings), "RUN_OUT_MODE": "durable", SMOKE: "1"}
    return RowDir(
        Campaign(
            campaign_id=campaign_id,
            created_at=clock.now(),
            flow_id="",
            request_id="",
            git_sha="",
            dry_run=False,
            manifest_sha256="",
            manifest_path="",
            settings=Settings({**settings, **own}),
            rows=[row],
        ),
        row,
    )


def _run(session: Session, here: RowDir, secrets: Dict[str, str]) -> Dict[str, Any]:
    """The result of the smoke run, when it has ended."""
    executor = executor_of(here.campaign.settings)
    handle: Optional[Handle] = None
    until = time.monotonic() + here.timeout_s
    try:
        while True:
            lease.fence(session.settings, session.token)
            executor.poll([handle] if handle else [])
            if handle is None:
                handle = _begin(executor, here, secrets)
                if handle is None and time.monotonic() > until:
                    return _never_begun(here, executor.waits_for or "room")
            else:
                # checked in this order: a runner that ends in between has written its result
                is_alive = executor.is_alive(handle)
                result = _result(here)
                if result is None and not is_alive:
                    result = attempts.record_dead(executor, here, _NUMBER, handle)
                if result is not None:
                    return result
            time.sleep(LOOK_S)
    except BaseException:
        _end(executor, here, handle)
        raise


def _begin(executor: Executor, here: RowDir, secrets: Dict[str, str]) -> Optional[Handle]:
    log_path = os.path.join(os.path.dirname(here.path), "runner.log")
    folder = here.attempt(_NUMBER)
    return attempts.begin(
        executor, here, _NUMBER, secrets, log_path, lambda share: os.makedirs(folder)
    )


def _never_begun(here: RowDir, what: str) -> Dict[str, Any]:
    """The result if the executor had no room all the time."""
    reason = "waited for %s for %d s" % (what, here.timeout_s)
    return {"attempt": 0, "state": TIMED_OUT, "failure_class": "timeout", "reason": reason}


def _result(here: RowDir) -> Optional[Dict[str, Any]]:
    try:
        return here.result(_NUMBER)
    except Unreadable:
        return None


def _end(executor: Executor, here: RowDir, handle: Optional[Handle]) -> None:
    """End all processes of the smoke run. Raises Refusal 'launch' if that is not possible."""
    left = executor.cancel(here.cookie(_NUMBER), handle, here.campaign.settings.kill_grace_s)
    if left:
        raise _still_there(left)


def _still_there(left: List[int]) -> Refusal:
    return Refusal(
        "launch",
        "processes %s of the smoke run could not be ended" % left,
        "Restart the pod, then start again.",
        {"leftovers": left},
    )


def _left(settings: Settings) -> List[RowDir]:
    """The directories of earlier smoke runs, as far as they record their campaign."""
    folder = _folder(settings)
    if not is_our_folder(folder):
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if ids.is_id(e.name) and is_our_folder(e.path)]
    owners = {name: owner_of(os.path.join(folder, name)) for name in names}
    return [
        _row_dir(settings, campaign_id, Row(0, name, "", 0, "", ()))
        for name, campaign_id in owners.items()
        # the trainer may have changed the record: no other campaign may be taken for it
        if campaign_id.startswith(_CAMPAIGN)
    ]


def _remove_tree(settings: Settings, here: RowDir) -> None:
    path = os.path.join(settings.repo, TREES, here.campaign.campaign_id)
    if os.path.isdir(path):
        shutil.rmtree(path)
        Repository(settings.repo, StepLog(os.devnull)).git("worktree", "prune")


def _remove(folder: str) -> None:
    """Remove a folder of ours, even if the trainer locked folders in it. Raises OSError."""
    for place, names, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder)


def _tail(here: RowDir) -> List[str]:
    """The end of the trainer's log."""
    return StepLog(here.attempt(_NUMBER, "stdout.log")).tail(TAIL_LINES)
