"""A sweep of many rows on simulated pods, two or more: ``python -m … PODS ROWS``.

Real are the plan, each member's session and sweep, the merged sweep, and the moves of rows. A pod's
answers are made of records of a pod's answers, and pass through JSON as over a link. Time passes
while the flow waits: one tick for each long poll. Prints what the controller took, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from pytest_wf.flow.fleet import fleet_sweep
from pytest_wf.flow.fleet.fleet_sweep import FleetSweep
from pytest_wf.flow.fleet.row_moves import Partner, RowMoves
from pytest_wf.flow.operations import sweep
from pytest_wf.flow.operations.sweep import Shard, Sweep
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import Connection, Target
from pytest_wf.pods.local import LocalProvider
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options, Project
from pytest_wf.testing import write_project
from pytest_wf.wire import assignment, fsm, operations
from pytest_wf.wire.assignment import CEDED, FROZEN, GIVEN, Member, Owner, ShardView
from pytest_wf.wire.rows import CampaignStatus, Row, RowStatus, listed
from pytest_wf.wire.states import (
    OTHER_POD,
    PENDING,
    RUNNING,
    SUCCESS,
    SUPERVISOR_ALIVE,
    SUPERVISOR_ENDED,
    count,
)

CAMPAIGN = "c-20260102T030405Z-abcdef"
TICK_S = 60.0
#: The ticks that a row takes, on every tenth pod and on the others.
SLOW, QUICK = 2, 1


class World:
    """The pods, their clock, and what the requests to them were."""

    def __init__(self, pods: int) -> None:
        # what is frozen is kept once for all, so that the memory is that of the controller
        frozen: dict[str, Frozen] = {}
        self.pods = {
            f"pod{n}": Pod(f"pod{n}", SLOW if n % 10 == 1 else QUICK, frozen)
            for n in range(1, pods + 1)
        }
        self.ticks = 0
        #: CPU seconds that the simulation of the pods took, which no controller needs.
        self.cpu_s = 0.0
        self.requests: Counter[str] = Counter()
        self.sent = self.received = 0
        self._lock = threading.Lock()

    def now(self) -> float:
        """The simulated time, in seconds."""
        return self.ticks * TICK_S

    def answer(self, pod: str, request: str) -> str:
        """A pod's answer to a request, both as JSON."""
        with self._lock:  # pods are asked at once
            return self._answer(pod, request)

    def _answer(self, pod: str, request: str) -> str:
        began = time.thread_time()
        asked = json.loads(request)
        if asked["op"] == operations.CAMPAIGN and asked["args"].get("wait_s"):
            self.ticks += 1
            for one in self.pods.values():
                one.work()
        answer = json.dumps(self.pods[pod].answer(asked["op"], asked["args"]))
        self.requests[asked["op"]] += 1
        self.sent += len(request)
        self.received += len(answer)
        self.cpu_s += time.thread_time() - began
        return answer


class Frozen(NamedTuple):
    """A row as it was frozen."""

    place: int
    owner: Owner


class Pod:
    """A pod that trains one row at a time."""

    def __init__(self, name: str, ticks: int, frozen: dict[str, Frozen]) -> None:
        self.name, self._ticks = name, ticks
        self._frozen = frozen
        #: The rows that are this pod's, or were; and the owners that have changed.
        self._rows: dict[str, RowStatus] = {}
        self._changed: dict[str, tuple[Owner, str]] = {}
        self.begun: list[str] = []
        #: The rows that wait here, in their order, and how many rows are in each state.
        self._waiting: dict[str, None] = {}
        self._states: Counter[str] = Counter()
        self._left = 0
        self._is_launched = False
        #: The rows that changed with each version, the present one being the last.
        self._versions: list[set[str]] = [set()]

    def work(self) -> None:
        """One tick: the row that runs may end, and then another one begins."""
        if not self._is_launched:
            return
        self._left -= 1
        if self._left > 0:
            return
        changed = {}
        if self.begun and self._rows[self.begun[-1]].state == RUNNING:
            row = self._rows[self.begun[-1]]
            changed[row.run_id] = row._replace(**_ENDED)
        for run_id in list(self._waiting)[:1]:
            self.begun.append(run_id)
            changed[run_id] = self._rows[run_id]._replace(state=RUNNING, attempts=1)
            self._left = self._ticks
        self._change(changed)

    def answer(self, op: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        return self._operations[op](self, args)

    def _start(self, args: Mapping[str, Any]) -> dict[str, Any]:
        if not self._frozen:
            owners = assignment.read(args["assignment"])
            for row in listed(args, "rows", Row.from_json):
                self._frozen[row.run_id] = Frozen(row.index, owners[row.run_id])
        rows = [self._row(run_id) for run_id in self._frozen]
        self._change({row.run_id: row for row in rows if row.state != OTHER_POD})
        plan = {"adopted": 0, "again": 0, "new": len(self._rows)}
        return {"campaign_id": CAMPAIGN, "plan": plan, "archive": {"runs": 0, "bytes": 0}}

    def _resume(self, _args: Mapping[str, Any]) -> dict[str, Any]:
        self._is_launched = True
        return {"campaign_id": CAMPAIGN}

    def _status(self, args: Mapping[str, Any]) -> dict[str, Any]:
        is_open = self._states[PENDING] + self._states[RUNNING] > 0
        since = ""
        if args.get("changes") and args.get("seen"):
            since = args["seen"]
            changed = set().union(*self._versions[int(since) :])
            rows = [self._rows[run_id] for run_id in sorted(changed)]
        elif args.get("own"):
            rows = [row for row in self._rows.values() if row.state != OTHER_POD]
        else:
            rows = [self._rows.get(run_id) or self._row(run_id) for run_id in self._frozen]
        status = CampaignStatus(
            campaign_id=CAMPAIGN,
            created_at="2026-01-02T03:04:05Z",
            flow_id="f-20260102T030405Z-abc123",
            git_sha="a" * 40,
            dry_run=False,
            manifest_sha256="b" * 64,
            supervisor=SUPERVISOR_ALIVE if is_open else SUPERVISOR_ENDED,
            state=fsm.SWEEP_RUNNING if is_open else fsm.SWEEP_COMPLETED,
            reason="",
            attach=None,
            rows=rows,
            seen=str(len(self._versions)),
            since=since,
        )
        return {**status.as_json(), **count(self._states)}

    def _shard(self, args: Mapping[str, Any]) -> dict[str, Any]:
        owners = {run_id: self._owner(run_id) for run_id in self._frozen}
        view = ShardView(CAMPAIGN, self.name, owners, frozenset(self.begun))
        return view.changes_as_json(()) if args.get("changes") else view.as_json()

    def _cede(self, args: Mapping[str, Any]) -> dict[str, Any]:
        ceded = {
            run_id: Owner(args["to"], epoch + 1)
            for run_id, epoch in args["rows"].items()
            if run_id not in self.begun
        }
        self._own(ceded, CEDED)
        kept = {run_id: "begun" for run_id in args["rows"] if run_id not in ceded}
        return {"ceded": assignment.as_json(ceded), "kept": kept}

    def _assign(self, args: Mapping[str, Any]) -> dict[str, Any]:
        given = assignment.read(args["rows"])
        self._own(given, GIVEN)
        return {"known": args["rows"], "kept": {}, "launched": True, "reason": ""}

    def _own(self, owners: Mapping[str, Owner], how: str) -> None:
        self._changed.update({run_id: (owner, how) for run_id, owner in owners.items()})
        self._change({run_id: self._row(run_id) for run_id in owners})

    def _owner(self, run_id: str) -> tuple[Owner, str]:
        return self._changed.get(run_id) or (self._frozen[run_id].owner, FROZEN)

    def _row(self, run_id: str) -> RowStatus:
        """A row that has not begun here."""
        owner, index = self._owner(run_id)[0].member, self._frozen[run_id].place
        if owner == self.name:
            return RowStatus(run_id, PENDING, index)
        return RowStatus(run_id, OTHER_POD, index, reason=f"with {owner}")

    def _change(self, rows: Mapping[str, RowStatus]) -> None:
        for run_id, row in rows.items():
            if run_id in self._rows:
                self._states[self._rows[run_id].state] -= 1
            self._states[row.state] += 1
            self._rows[run_id] = row
            self._waiting.pop(run_id, None)
            if row.state == PENDING:
                self._waiting[run_id] = None
        if rows:
            self._versions.append(set(rows))

    _operations: Mapping[str, Callable[[Pod, Mapping[str, Any]], dict[str, Any]]] = {
        operations.INVENTORY: lambda pod, args: {"runs": []},
        operations.LEASE_TAKE: lambda pod, args: {"token": 1},
        operations.LEASE_RENEW: lambda pod, args: {},
        operations.LEASE_DROP: lambda pod, args: {},
        operations.CAMPAIGN_START: _start,
        operations.CAMPAIGN_RESUME: _resume,
        operations.CAMPAIGN: _status,
        operations.CAMPAIGN_SHARD: _shard,
        operations.CAMPAIGN_CEDE: _cede,
        operations.CAMPAIGN_ASSIGN: _assign,
    }


#: What a row's status has once it has ended well.
_ENDED: dict[str, Any] = {
    "state": SUCCESS,
    "ok": True,
    "exit_code": 0,
    "started_at": "2026-01-02T03:04:05Z",
    "finished_at": "2026-01-02T03:05:05Z",
    "duration_s": 60.0,
    "metrics": {"step": 100, "train_loss": 1.25, "val_loss": 1.5},
}


class _Client:
    """An agent's client whose requests a simulated pod answers."""

    hello: Mapping[str, Any] = {}
    findings: tuple[str, ...] = ()
    token = 0
    round_trips = 0

    def __init__(self, world: World, pod: str) -> None:
        self._world, self._pod = world, pod

    def request(self, op: str, args: Mapping[str, Any] | None = None, **_how: Any) -> Any:
        self.round_trips += 1
        return json.loads(self._world.answer(self._pod, json.dumps({"op": op, "args": args or {}})))

    def close(self) -> None:
        pass


class _Session(PodSession):
    """A session with a simulated pod."""

    world: World

    def _new_client(self, connection: Connection) -> Any:
        return _Client(self.world, self.project.member)


def simulate(folder: Path, pods: int, rows: int) -> dict[str, float]:
    """Plan, launch and settle a sweep; what that took."""
    world, took = World(pods), dict[str, float]()

    @contextmanager
    def measured(what: str) -> Iterator[None]:
        spent, of_pods = time.process_time(), world.cpu_s
        yield
        took[f"{what} CPU s"] = time.process_time() - spent - (world.cpu_s - of_pods)

    lines = [f"run-{n:05d},default.py,{n},lr={n * 1e-6:.6f} depth=12," for n in range(rows)]
    root = write_project(folder / "project", rows=lines, config={"WF_PODS": str(pods)})
    before = _peak_mb()
    with measured("plan"):
        project = load_project(root, Options(), {}, [LocalProvider()])
        members = [Member(name, 0) for name in project.members]
        owners = assignment.assign(project.rows, members)
    sessions = {name: _open(world, project, name) for name in world.pods}
    try:
        with measured("launch"):
            for name, session in sessions.items():
                sweep.start(session, {}, shard=Shard(CAMPAIGN, name, owners, list(sessions)))
            for session in sessions.values():
                sweep.launch_shard(session, {}, None, project.members)
        took["threads"] = threading.active_count()
        with measured("settle"):
            moves = _settle(world, project, sessions, owners)
    finally:
        for session in sessions.values():
            session.close()
    begun = Counter(run_id for pod in world.pods.values() for run_id in pod.begun)
    assert begun == Counter({row.run_id: 1 for row in project.rows}), "a row was not run once"
    return {
        **took,
        "peak MB more": _peak_mb() - before,
        "requests": world.requests.total(),
        "MB sent": world.sent / 1e6,
        "MB received": world.received / 1e6,
        "rows moved": len(moves.moved),
        "ticks": world.ticks,
    }


def _open(world: World, project: Project, name: str) -> _Session:
    own = project.members[name]
    session = _Session(
        own, LocalProvider(), Target("local", name), flow_id="f-20260102T030405Z-abc123"
    )
    session.world = world
    return session


def _settle(
    world: World,
    project: Project,
    sessions: Mapping[str, _Session],
    owners: Mapping[str, Owner],
) -> RowMoves:
    """Wait for each row as its case does, then for all, and move rows meanwhile."""
    moves = RowMoves(
        root=str(project.root),
        campaign_id=CAMPAIGN,
        partners=[Partner(name, session, 0) for name, session in sessions.items()],
        rows=project.rows,
        gpus_per_run=0,
        moves=True,
        secrets={},
        say=lambda text: None,
        owners=dict(owners),
    )
    whole = FleetSweep(
        {name: Sweep(session) for name, session in sessions.items()},
        lambda run_id: "",
        lambda status: None,
        moves,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_sweep, "time", SimpleNamespace(monotonic=world.now))
        for row in project.rows:
            assert whole.follow(row.run_id, wait=True).ok
        assert len(whole.follow_all().rows) == len(project.rows)
    return moves


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="wf-simulated-") as base:
        print(json.dumps(simulate(Path(base), int(sys.argv[1]), int(sys.argv[2]))))
