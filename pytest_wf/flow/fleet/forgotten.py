"""Pods that the user has declared gone (`wf pod-forget`): one record per campaign and member.

A pod that does not answer keeps its rows, as it may be training them. Such a record states that
it is not, so that its rows go to other pods while all of these answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from pytest_wf.errors import LinkLost, OperationFailed, PodGone, TransportError, WfError
from pytest_wf.fetch.announced_files import hostile
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import ids, operations, user
from pytest_wf.wire.assignment import ShardView
from pytest_wf.wire.files import read_json, write_json
from pytest_wf.wire.rows import Malformed

SCHEMA = 1
_FOLDER = (".wf", "forgotten")
#: How long a pod gets to answer before it is forgotten.
_TRY_S = 15.0


def record_path(root: str | os.PathLike[str], campaign_id: str, member: str) -> Path:
    """The path of the record that `member` is gone for a campaign."""
    return Path(root).joinpath(*_FOLDER, f"{campaign_id}.{member}.json")


def is_forgotten(root: str | os.PathLike[str], campaign_id: str, member: str) -> bool:
    """Whether the user has declared a member's pod gone; False if the record is damaged."""
    if not ids.is_id(campaign_id):
        return False
    try:
        found = read_json(str(record_path(root, campaign_id, member)))
    except (OSError, ValueError):
        return False
    known = {"schema": SCHEMA, "campaign_id": campaign_id, "member": member}
    return isinstance(found, dict) and known.items() <= found.items()


def forget(root: str | os.PathLike[str], name: str, sessions: Mapping[str, PodSession]) -> Result:
    """Record that the pod of member `name` is gone for the campaign of the others.

    Raises OperationFailed if the pod answers, or if no other pod has a campaign with rows
    of it.
    """
    _demand_silence(name, sessions[name])
    view = _view_of_another(name, sessions)
    owned = [i for i, (owner, _) in view.owners.items() if owner.member == name]
    path = record_path(root, view.campaign_id, name)
    record = {
        "schema": SCHEMA,
        "campaign_id": view.campaign_id,
        "member": name,
        "target": sessions[name].target.name,
        "user": user.name(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(str(path), record)
    return Result("pod-forget", {**record, "record": str(path), "rows": sorted(owned)})


def refuse_forgotten(session: PodSession, name: str) -> None:
    """Raise OperationFailed if the pod was declared gone for its campaign."""
    campaign_id = session.state().get("campaign_id")
    if isinstance(campaign_id, str) and is_forgotten(session.project.root, campaign_id, name):
        record = record_path(session.project.root, campaign_id, name)
        raise OperationFailed(
            "launch",
            f"{name} was declared gone for campaign {campaign_id} ({record}), and other pods may "
            "have its rows: it must not train them, too.",
            "Continue without it, or begin a new campaign with `--wf-sweep=start`.",
        )


def _demand_silence(name: str, session: PodSession) -> None:
    """Raise OperationFailed if a pod answers, or refuses for another reason."""
    try:
        with session.patience.limited(_TRY_S):
            session.state()
    except (PodGone, TransportError, LinkLost, TimeoutError):
        return
    except OperationFailed as e:
        if e.kind == "timeout":
            return
        raise
    raise OperationFailed(
        "illegal-state",
        f"{name} ({session.target.name}) answers: it is not gone.",
        f"End its sweep with `wf sweep-stop --pod {name}`, or let it train.",
    )


def _view_of_another(name: str, sessions: Mapping[str, PodSession]) -> ShardView:
    """Another pod's record of the campaign that it shares with `name`."""
    problems = []
    for other, session in sessions.items():
        if other == name:
            continue
        try:
            with session.patience.limited(_TRY_S):
                args = {"campaign_id": session.state().get("campaign_id")}
                view = ShardView.from_json(session.request(operations.CAMPAIGN_SHARD, args))
        except Malformed as e:
            raise hostile(f"its rows' owners: {e}") from None
        except (WfError, TimeoutError, OSError) as e:
            problems.append(f"{other}: {e}")
            continue
        if not ids.is_id(view.campaign_id):
            raise hostile("its campaign has no id")
        if name in {owner.member for owner, _ in view.owners.values()}:
            return view
        problems.append(f"{other}: campaign {view.campaign_id} has no rows of {name}")
    raise OperationFailed(
        "no-campaign",
        f"no other pod has a campaign with rows of {name}: {'; '.join(problems)}.",
        "Look at `wf sweep-status --pod all`.",
    )
