"""The pod's state file: read strictly, changed only as the table of `wire.fsm` allows."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.control import (
    clock,
    control_files,
    disk_reserve,
    frozen_campaign,
    lease,
    locks,
)
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.files import COPY
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import STATE, NotOurs, is_foreign_file, is_within

SCHEMA = 1
#: How many state changes the file keeps.
HISTORY = 200
#: Commands that lead to a new campaign, which must wait for the end of a running one.
_BEFORE_A_SWEEP = ("bootstrap", "checkout", "sweep-start")
# from that state a start and a resume are both legal, and the file's sweep may run all the same
_REMEDY = (
    "`wf fsm-reset SWEEP_STALLED` sets the state anew and keeps the file; a start or a resume "
    "goes on from there."
)


class State(NamedTuple):
    """The pod's state and its history."""

    state: str
    previous_state: str
    reason: str
    updated_at: str
    host: str
    flow_id: str
    #: False if there is no state file yet.
    exists: bool
    #: Oldest first: {"from", "to", "command", "reason", "flow_id", "at"}.
    history: List[Dict[str, Any]]


def read_state(settings: Settings) -> State:
    """The state now; INIT if there is no file.

    ARTIFACTS_FETCHING with an expired lease reads as the state before it. Raises Refusal
    'state-unreadable' for a file that is damaged or of an incompatible version.
    """
    found = _read(settings)
    if found.state != fsm.ARTIFACTS_FETCHING:
        return found
    held = lease.current(settings)
    alive = held is not None and bool(held["alive"])
    return found._replace(state=fsm.settled(found.state, found.previous_state, alive))


def require(settings: Settings, command: str) -> State:
    """The state, if `command` is legal in it. Raises Refusal 'illegal-state'."""
    found = read_state(settings)
    _check(settings, command, found.state)
    return found


def move(settings: Settings, command: str, to: str, reason: str, flow_id: str = "") -> State:
    """Change the state to `to`, as `command` does; return the state afterwards.

    Raises Refusal 'illegal-state' (only recorded if WF_FSM_ENFORCE=0) or 'state-unreadable'.
    """
    with locks.locked(settings.state_file + ".lock"):
        before = read_state(settings)
        legal = _check(settings, command, before.state)
        if legal and not _leads_to(command, before, to):
            raise Refusal(
                "illegal-state",
                "'%s' does not lead from %s to %s" % (command, before.state, to),
                fsm.COMMANDS[command].way_out,
                {"command": command, "state": before.state, "to": to},
            )
        return _write(
            settings, before, command, to, reason if legal else reason + " (not enforced)", flow_id
        )


def reset(settings: Settings, to: str, reason: str, flow_id: str = "") -> State:
    """Set the state by hand, whatever it is now; an unreadable file is kept beside it."""
    if to not in fsm.STATES:
        raise Refusal(
            "illegal-state",
            "unknown state '%s'" % to,
            "Choose one of: %s." % ", ".join(fsm.STATES),
        )
    with locks.locked(settings.state_file + ".lock"):
        try:
            before = read_state(settings)
        except Refusal:
            is_elsewhere = not is_within(settings.state_file, settings.control)
            if is_elsewhere and is_foreign_file(settings.state_file, STATE):
                raise NotOurs(settings.state_file, "Set WF_STATE_FILE to another place.") from None
            for path in (settings.state_file, settings.state_file + COPY):
                control_files.set_aside(path)
            before = _none()._replace(state="unreadable")
        return _write(settings, before, "fsm-reset", to, "manual: " + reason, flow_id)


def _check(settings: Settings, command: str, state: str) -> bool:
    try:
        fsm.check(command, state)
    except fsm.IllegalTransition as e:
        if not settings.flag("WF_FSM_ENFORCE"):
            return False
        why, way_out = _under_way(settings, e) or (e.why, e.way_out)
        raise Refusal(
            "illegal-state",
            why,
            way_out,
            {"command": command, "state": state, "allowed": list(e.allowed), "way_out": way_out},
        ) from None
    return True


def _under_way(settings: Settings, refused: fsm.IllegalTransition) -> Optional[Tuple[str, str]]:
    """Message and remedy if a running sweep prevents a new one; else None."""
    if refused.state != fsm.SWEEP_RUNNING or refused.command not in _BEFORE_A_SWEEP:
        return None
    campaign = frozen_campaign.readable_latest(settings)
    if campaign is None or not frozen_campaign.is_supervised(campaign):
        return None
    way_out = "Attach to it with `--wf-sweep=resume`, or end it with `wf sweep-stop`."
    return "campaign %s: %s" % (campaign.running, refused.why), way_out


def _leads_to(command: str, before: State, to: str) -> bool:
    if command == "fetch" and before.state == fsm.ARTIFACTS_FETCHING:
        return to in (before.state, before.previous_state, fsm.ARTIFACTS_SYNCED)
    return fsm.is_legal(command, before.state, to)


def _write(
    settings: Settings, before: State, command: str, to: str, reason: str, flow_id: str
) -> State:
    at = clock.now()
    flow_id = flow_id or _holders_flow(settings)
    step = {
        "from": before.state,
        "to": to,
        "command": command,
        "reason": reason,
        "flow_id": flow_id,
        "at": at,
    }
    after = State(
        state=to,
        previous_state=before.state,
        reason=reason,
        updated_at=at,
        host=os.uname().nodename,
        flow_id=flow_id or before.flow_id,
        exists=True,
        history=([*before.history, step])[-HISTORY:],
    )
    os.makedirs(os.path.dirname(settings.state_file), mode=0o700, exist_ok=True)
    body = dict(after._asdict(), schema=SCHEMA)
    del body["exists"]
    control_files.write(
        settings.state_file, body, lambda path, content: disk_reserve.write(settings, path, content)
    )
    return after


def _holders_flow(settings: Settings) -> str:
    """The flow that holds the pod's lease; empty if none does."""
    try:
        held = lease.current(settings)
    except Refusal:
        return ""
    owner = held["owner"] if held is not None else {}
    return str(owner.get("flow_id") or "")


def _read(settings: Settings) -> State:
    found = control_files.parsed(settings.state_file, _of, SCHEMA, remedy=_REMEDY)
    return _none() if found is None else found


def _of(body: Dict[str, Any]) -> State:
    texts = ("state", "previous_state", "reason", "updated_at", "host", "flow_id")
    history = body.get("history")
    if (
        not all(isinstance(body.get(key), str) for key in texts)
        or body["state"] not in fsm.STATES
        or not isinstance(history, list)
        or not all(isinstance(step, dict) for step in history)
    ):
        raise TypeError
    return State(exists=True, history=history, **{key: body[key] for key in texts})


def _none() -> State:
    return State(fsm.INIT, fsm.INIT, "", "", "", "", False, [])
