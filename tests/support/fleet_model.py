"""Three pods that share twelve rows, a controller that may die, and everything that goes wrong.

The pods are folders on which the agent's own operations work, called in this process, and the step
by which a supervisor begins a row. Not here are trainings and supervisors' processes: what begins
and ends, and when, is the model's choice. Files are not flushed, as nothing here loses power.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_wf.agent.control import control_files, created_paths, frozen_campaign, lease, shard
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.launches import Launch
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.sweep import launch, start_request
from pytest_wf.agent.sweep.sharing import claims
from pytest_wf.agent.sweep.sharing import operations as sharing
from pytest_wf.agent.sweep.snapshot import Snapshot
from pytest_wf.agent.sweep.supervisor import Supervisor
from pytest_wf.flow.fleet import rebalance
from pytest_wf.flow.fleet.rebalance import ANSWERS, GONE, UNKNOWN, Cede, Give, Seen
from pytest_wf.wire import assignment, files, operations
from pytest_wf.wire.assignment import Member, Owner, ShardView
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from tests.support.agent_pod import OWNER, config_values
from tests.support.sweep_pod import freeze_campaign

ROWS = [Row(n, f"r{n:02}", "config/a.py", 1, "", ()) for n in range(12)]
MEMBERS = [Member(f"pod{n}", 1) for n in (1, 2, 3)]
_IDS = {row.run_id: row for row in ROWS}


class Violation(AssertionError):
    """A row that ran twice, or was lost."""


class Lost(Exception):
    """A request without an answer, or a controller that died: nothing more is done now."""


class Request(NamedTuple):
    """A request to a pod's agent."""

    op: str
    args: dict[str, Any]


class Pod:
    """One member's folder, what its supervisor has queued, and what it runs."""

    def __init__(self, member: Member, folder: Path, owners: assignment.Assignment) -> None:
        self.name, self.member = member.name, member
        self.settings = Settings(config_values(folder / "outputs", folder))
        self.campaign: Campaign = freeze_campaign(
            self.settings, ROWS, member=self.name, assignment=owners
        )
        os.makedirs(self.settings.control, exist_ok=True)
        self.token = int(lease.take(self.settings, OWNER)["token"])
        self.supervisor = Supervisor(self.campaign, {})
        self.queue = [row.run_id for row in shard.rows(self.campaign)]
        self.begun: list[str] = []
        self.running: str | None = None
        self.is_alive, self.is_linked, self.is_gone = True, True, False
        #: Requests that it has received and not carried out.
        self.late: list[Request] = []
        #: What the controller saw of it last.
        self.view: ShardView | None = None
        #: The frozen owners that it saw first.
        self.frozen: Mapping[str, tuple[Owner, str]] = {}

    def perform(self, request: Request) -> dict[str, Any]:
        """Carry out a request, as the agent does."""
        session = Session(self.settings, "r-1", self.token, lambda body: None)
        return sharing.OPERATIONS[request.op](session, request.args)

    def take_on(self, taken: Launch) -> None:
        """Queue the rows of a launch, as a supervisor does."""
        self.queue += [i for i in taken.selected or () if i not in self.queue]

    def begin_next(self) -> str | None:
        """Begin the next row that has not begun and is this pod's; its id."""
        while self.queue:
            run_id = self.queue.pop(0)
            if run_id in self.begun:
                continue
            try:
                self.supervisor._make_dir(RowDir(self.campaign, _IDS[run_id]))
            except claims.Moved:
                continue
            self.begun.append(run_id)
            self.running = run_id
            return run_id
        return None


class Fleet:
    """The pods and their controller."""

    def __init__(self, folder: Path, members: Sequence[int]) -> None:
        """`members` are the places of the rows' members: who begins with many cedes some."""
        owners = {
            row.run_id: Owner(MEMBERS[m].name, 1) for row, m in zip(ROWS, members, strict=True)
        }
        self.owners = owners
        self.pods = [Pod(member, folder / member.name, owners) for member in MEMBERS]
        self.done: set[str] = set()
        #: How often each kind of event happened.
        self.happened: Counter[str] = Counter()

    def begin(self, pod: Pod) -> None:
        """The pod's supervisor begins a row where none runs. Raises Violation."""
        if not pod.is_alive or pod.running is not None:
            return
        run_id = pod.begin_next()
        if run_id is None:
            return
        others = [p.name for p in self.pods if p is not pod and p.is_alive and run_id in p.begun]
        if others or run_id in self.done:
            raise Violation(f"{run_id} runs on {pod.name} and ran on {others or 'a pod'}")
        self.happened["row begun"] += 1
        if self.owners[run_id].member != pod.name:
            self.happened["row begun on a pod that it moved to"] += 1
        if any(run_id in p.begun for p in self.pods if p is not pod):
            self.happened["row begun again"] += 1

    def run(self, *pods: Pod, rows: int = 1) -> None:
        """Each of these pods, all by default, ends its row and begins the next, so often."""
        for _ in range(rows):
            for pod in pods or self.pods:
                self.end(pod)
                self.begin(pod)

    def end(self, pod: Pod) -> None:
        """The row that the pod runs ends, and its result is fetched."""
        if pod.is_alive and pod.running is not None:
            self.done.add(pod.running)
            pod.running = None

    def vanish(self, pod: Pod) -> None:
        """The pod is gone for good, unless it is the last one."""
        if sum(p.is_alive for p in self.pods) > 1:
            self.happened["pod vanished"] += pod.is_alive
            pod.is_alive, pod.running = False, None
            pod.late.clear()

    def prove_gone(self, pod: Pod) -> None:
        """The provider's listings prove a pod gone that is."""
        pod.is_gone = not pod.is_alive

    def deliver(self, pod: Pod) -> None:
        """A request that is under way arrives at its pod."""
        if pod.late and pod.is_alive:
            self.happened["late request arrived"] += 1
            self._perform(pod, pod.late.pop(0))

    def link(self, pod: Pod, *, works: bool) -> None:
        """The controller's link to the pod breaks, or is back."""
        self.happened["link broken"] += pod.is_linked and not works
        pod.is_linked = works

    def forget(self) -> None:
        """A new controller begins, which has seen nothing."""
        self.happened["controller killed"] += 1
        for pod in self.pods:
            pod.view, pod.frozen = None, {}

    def look(self, fate: Callable[[], str] = lambda: "done") -> None:
        """One round of the controller; `fate` says what becomes of each request."""
        try:
            steps = rebalance.decide(self._seen(), ROWS, done=self.done)
            for step in steps:
                self.send(step, fate())
        except Lost:
            pass

    def settle(self) -> None:
        """All links work again and nothing more goes wrong: every row ends. Raises Violation."""
        for pod in self.pods:
            pod.is_linked = True
            while pod.late and pod.is_alive:
                self.deliver(pod)
            self.prove_gone(pod)
        for _ in range(8 * len(ROWS)):
            self.look()
            for pod in self.pods:
                self.begin(pod)
                self.end(pod)
            if len(self.done) == len(ROWS):
                return
        raise Violation(f"lost: {sorted(_IDS.keys() - self.done)}")

    def _seen(self) -> list[Seen]:
        """What the controller sees now of each member."""
        found = []
        for pod in self.pods:
            contact = GONE if pod.is_gone else UNKNOWN
            if pod.is_alive and pod.is_linked and not pod.is_gone:
                contact = ANSWERS
                args = {"campaign_id": pod.campaign.campaign_id, "changes": bool(pod.frozen)}
                answer = pod.perform(Request(operations.CAMPAIGN_SHARD, args))
                pod.view = ShardView.from_json(answer, pod.frozen)
                pod.frozen = pod.frozen or pod.view.frozen
            free = 1 if pod.running is None else 0
            found.append(Seen(pod.member, contact, pod.view, free=free))
        return found

    def send(self, step: Cede | Give, fate: str) -> None:
        """Send a request, which has one of these fates.

        'done': answered; 'twice': so, and it arrives again later; 'unanswered': carried out;
        'late': it arrives later; 'lost': it never does; 'died': the controller does, before it is
        sent; 'late-died': the controller does, behind it.
        """
        self.happened[f"request {fate}"] += 1
        pod = next(pod for pod in self.pods if pod.name == step.member)
        args: dict[str, Any] = {"campaign_id": pod.campaign.campaign_id, "secrets": {}}
        if isinstance(step, Cede):
            request = Request(operations.CAMPAIGN_CEDE, {**args, "rows": step.rows, "to": step.to})
        else:
            rows = assignment.as_json(step.rows)
            request = Request(operations.CAMPAIGN_ASSIGN, {**args, "rows": rows})
        if fate in ("late", "late-died", "twice"):
            pod.late.append(request)
        if fate in ("died", "late-died"):
            self.forget()
        if fate in ("late", "lost", "died", "late-died"):
            raise Lost
        answer = self._perform(pod, request)
        if fate == "unanswered" or answer.get("kept"):
            raise Lost

    def _perform(self, pod: Pod, request: Request) -> dict[str, Any]:
        try:
            return pod.perform(request)
        except Refusal as e:
            raise Violation(f"{request.op} is refused: {e}") from e


def without_processes(patch: pytest.MonkeyPatch, fleets: list[Fleet]) -> None:
    """Let launches go to the supervisors of the model, and files stay unflushed."""

    def take_on(campaign: Campaign, taken: Launch) -> bool:
        pod = next(p for p in fleets[-1].pods if p.campaign.folder == campaign.folder)
        pod.take_on(taken)
        return True

    def record(_campaign: Campaign, taken: Launch, _flow_id: str) -> Launch:
        return taken

    def settled(campaign: Campaign) -> Snapshot:
        return Snapshot(campaign, True, [], [])

    def find(settings: Settings) -> Campaign:
        return next(p for p in fleets[-1].pods if p.settings is settings).campaign

    patch.setattr(frozen_campaign, "find", find)
    patch.setattr(created_paths, "cover", lambda settings, path: None)
    patch.setattr(launch, "extend", take_on)
    patch.setattr(launch, "record", record)
    patch.setattr(start_request, "settled", settled)
    patch.setattr(os, "fsync", lambda fd: None)
    for write in (files.write_atomic, files.write_json):
        mode, _flush, *others = write.__defaults__ or ()
        patch.setattr(write, "__defaults__", (mode, None, *others))
    for known in (shard._read, shard._known, frozen_campaign._loaded):
        known.clear()
    patch.setattr(control_files, "_findings", [])
