"""The small operations on the pod itself: its state, lease, config, and copies of evidence."""

import base64
import binascii
import os
import re
import time
from typing import Any, Dict, List, Optional

from pytest_wf.agent.control import (
    control_files,
    created_paths,
    disk_reserve,
    frozen_campaign,
    journal,
    lease,
    state,
    volume,
)
from pytest_wf.agent.control.request import Args, Operation, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.host import delete
from pytest_wf.agent.results import run_listing
from pytest_wf.agent.setup import bootstrap, checkout, probe
from pytest_wf.agent.sweep import readiness, status
from pytest_wf.agent.sweep.inventory import trained_commits
from pytest_wf.wire import fsm, operations, ownership, podenv
from pytest_wf.wire.files import read_bytes, sha256_bytes, write_atomic
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.states import DRY_RUN, ROW_ENDED

#: How much of the state's history `state` shows.
SHOWN_HISTORY = 20
#: Seconds that the supervisor of a sweep without open rows has to end.
_TO_REST_S = 5.0
#: The most runs that `fetch-begin` lists.
_LISTED_RUNS = 20

_PUT_NAME = re.compile(r"(?:_manifests|_control/evidence)(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+")


def show_state(session: Session, _args: Args) -> Result:
    """The pod's state, its lease, and its latest campaign's id.

    A sweep without a process does not keep the state at SWEEP_RUNNING.
    """
    _reconcile(session.settings, session.write_nothing)
    return _state(session)


def state_now(settings: Settings, write_nothing: bool) -> Optional[str]:
    """The pod's state as `show_state` gives it; None if it cannot be read."""
    try:
        return state.read_state(settings).state if write_nothing else status.state_now(settings)
    except (Refusal, OSError):
        return None


def _reconcile(settings: Settings, write_nothing: bool = False) -> None:
    if write_nothing:
        return
    try:
        status.reconcile(settings)
    except (Refusal, OSError):
        pass  # neither an unreadable campaign nor a full disk hides the state


def _state(session: Session) -> Result:
    settings = session.settings
    found = state.read_state(settings)
    return dict(
        found._asdict(),
        history=found.history[-SHOWN_HISTORY:],
        lease=lease.current(settings),
        campaign_id=_latest_campaign(session),
    )


def lease_take(session: Session, args: Args) -> Result:
    """Take the lease for ``owner``, if the file system can hold it."""
    owner = args.get("owner")
    token = args.get("takeover_token")
    ttl_s = args.get("ttl_s", lease.TTL_S)
    if not isinstance(owner, dict) or not owner or not isinstance(token, (int, type(None))):
        raise Refusal("agent-broken", "'lease-take' needs an owner")
    if not isinstance(ttl_s, (int, float)):
        raise Refusal("agent-broken", "'lease-take' needs ttl_s in seconds")
    created_paths.directory(session.settings, session.settings.control)
    volume.check(session.settings)
    return lease.take(session.settings, owner, ttl_s, token)


def lease_renew(session: Session, _args: Args) -> Result:
    """Renew the lease for its full time."""
    return lease.renew(session.settings, session.token)


def lease_drop(session: Session, _args: Args) -> Result:
    """Release the lease."""
    return lease.drop(session.settings, session.token)


def config_sync(session: Session, _args: Args) -> Result:
    """Write the rendered config to REMOTE_ENV_PATH, readable by its owner alone.

    Raises NotOurs if another file is there. A file that is not text counts as a damaged config, and
    is moved aside.
    """
    settings = session.settings
    content = podenv.render(settings)
    os.makedirs(os.path.dirname(settings.env_path), mode=0o700, exist_ok=True)
    if not os.path.lexists(settings.env_path):
        created_paths.record(settings, settings.env_path)
    elif _is_no_text(settings.env_path) and settings.env_path in created_paths.paths(settings):
        control_files.set_aside(settings.env_path)
    ownership.replace_file(settings.env_path, content, ownership.POD_CONFIG, 0o600)
    return {"path": settings.env_path, "sha256": sha256_bytes(content)}


def _is_no_text(path: str) -> bool:
    """Whether a file cannot be a config: it is empty, holds NUL, or is not UTF-8."""
    try:
        raw = read_bytes(path) if os.path.isfile(path) else b"a folder"
        return not raw or b"\0" in raw or not raw.decode("utf-8")
    except UnicodeDecodeError:
        return True


def ready(session: Session, args: Args) -> Result:
    """Write the config; INIT and POD_TERMINATED become POD_READY, any other state stays.

    The answer has the pod's facts (`probe`), the config's place and digest, and with ``commits``
    those of the runs on the pod; null if they cannot be listed.
    """
    settings = session.settings
    facts, config = probe.probe(session, {}), config_sync(session, {})
    _reconcile(settings)
    before = state.require(settings, "pod-status")
    if before.state in (fsm.INIT, fsm.POD_TERMINATED):
        flow_id = str(args.get("flow_id", ""))
        state.move(settings, "pod-status", fsm.POD_READY, "the pod answers", flow_id)
    config_facts = {"config_path": config["path"], "config_sha256": config["sha256"]}
    commits = _trained_commits(settings) if args.get("commits") is True else None
    return dict(_state(session), probe=facts, trained_commits=commits, **config_facts)


def _trained_commits(settings: Settings) -> Optional[List[str]]:
    try:
        return trained_commits(settings)
    except OSError:
        return None


def fetch_begin(session: Session, args: Args) -> Result:
    """Set ARTIFACTS_FETCHING during a fetch; before and during a sweep the state stays.

    On a full disk it stays too, and ``unwritten`` says so: the results can still be fetched. With
    ``status``, the answer has the status of the latest campaign as ``campaign`` and, if they are
    few, the contents of the rows that have ended as ``listing``; without a campaign nothing is
    done.
    """
    settings = session.settings
    found = _campaign_to_fetch(session) if args.get("status") is True else {}
    _reconcile(settings)
    before = state.require(settings, "fetch")
    unwritten = ""
    stays = fsm.COMMANDS["fetch"].stays_in | {fsm.SWEEP_RUNNING, fsm.ARTIFACTS_FETCHING}
    if before.state not in stays:
        unwritten = _move(settings, fsm.ARTIFACTS_FETCHING, "results are being fetched")
    return dict(_state(session), unwritten=unwritten, **found)


def _campaign_to_fetch(session: Session) -> Result:
    campaign = status.campaign(session, {})
    ended = [row["run_id"] for row in campaign["rows"] if row["state"] in ROW_ENDED - {DRY_RUN}]
    if len(ended) > _LISTED_RUNS:
        return {"campaign": campaign}
    return {"campaign": campaign, "listing": run_listing.listing(session, {"run_ids": ended})}


def fetch_end(session: Session, args: Args) -> Result:
    """Set ARTIFACTS_SYNCED if the whole campaign is fetched and verified, else the state before.

    Rows are shown, and fetched, as soon as they have ended: their supervisor may end after that.
    On a full disk the state stays, and ``unwritten`` says so.
    """
    settings = session.settings
    before = _at_rest(session) if args.get("synced") is True else state.read_state(settings)
    unwritten = ""
    if args.get("synced") is True and before.state == fsm.SWEEP_COMPLETED:
        unwritten = _move(settings, fsm.ARTIFACTS_FETCHING, "results are being fetched")
        before = state.read_state(settings)
    if before.state == fsm.ARTIFACTS_FETCHING:
        if args.get("synced") is True:
            to, reason = fsm.ARTIFACTS_SYNCED, "all results fetched and verified"
            if args.get("left_out") is True:
                reason = "all results but what was left out (checkpoints) fetched and verified"
        else:
            to, reason = before.previous_state, "the fetch has ended"
        unwritten = _move(settings, to, reason)
    return dict(_state(session), unwritten=unwritten)


def _at_rest(session: Session) -> state.State:
    """The pod's state, after waiting for the supervisor of a sweep whose rows have all ended."""
    deadline = time.monotonic() + _TO_REST_S
    while True:
        _reconcile(session.settings)
        found = state.read_state(session.settings)
        if found.state != fsm.SWEEP_RUNNING or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def _move(settings: Settings, to: str, reason: str) -> str:
    """Change the state for a fetch; the error if the disk is full, else ''."""
    try:
        state.move(settings, "fetch", to, reason)
    except OSError as e:
        if e.errno not in disk_reserve.FULL:
            raise
        return journal.as_refusal(e).message
    return ""


def put(session: Session, args: Args) -> Result:
    """Keep a copy of a record on the pod, under ``_manifests/`` or ``_control/evidence/``.

    With ``drop`` the lease is released afterwards, even if the copy cannot be kept.
    """
    try:
        return _keep_copy(session, args)
    finally:
        if args.get("drop") is True:
            lease.drop(session.settings, session.token)


def _keep_copy(session: Session, args: Args) -> Result:
    name, data = args.get("name"), args.get("data")
    if not isinstance(name, str) or _PUT_NAME.fullmatch(name) is None:
        raise Refusal("agent-broken", "%r is not a name for a copy of evidence" % (name,))
    try:
        content = base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("agent-broken", "the data of %s is not base64" % name) from None
    path = os.path.join(session.settings.outputs, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    outputs = os.path.realpath(session.settings.outputs)
    if not os.path.realpath(os.path.dirname(path)).startswith(outputs + "/"):
        raise Refusal("hostile-answer", "%s leads out of the outputs directory" % name)
    write_atomic(path, content)
    return {"path": path, "sha256": sha256_bytes(content), "bytes": len(content)}


def fsm_reset(session: Session, args: Args) -> Result:
    """Set the state by hand."""
    to, reason = str(args.get("state", "")), str(args.get("reason", ""))
    state.reset(session.settings, to, reason or "no reason given")
    return _state(session)


def operation(session: Session, args: Args) -> Result:
    """The state of the request ``id``."""
    return journal.operation_state(session.settings, str(args.get("id", "")))


def _latest_campaign(session: Session) -> Any:
    try:
        latest = frozen_campaign.latest(session.settings)
    except (Refusal, OSError):
        return None
    return None if latest is None else latest.campaign_id


OPERATIONS: Dict[str, Operation] = {
    operations.PROBE: probe.probe,
    operations.READINESS: readiness.readiness,
    operations.STATE: show_state,
    operations.OPERATION: operation,
    operations.LEASE_TAKE: lease_take,
    operations.LEASE_RENEW: lease_renew,
    operations.LEASE_DROP: lease_drop,
    operations.CONFIG_SYNC: config_sync,
    operations.FSM_RESET: fsm_reset,
    operations.READY: ready,
    operations.FETCH_BEGIN: fetch_begin,
    operations.FETCH_END: fetch_end,
    operations.PUT: put,
    operations.DELETE: delete.delete,
    operations.BOOTSTRAP: bootstrap.bootstrap,
    operations.CHECKOUT: checkout.checkout,
    operations.HAS_COMMIT: checkout.has_commit,
}
