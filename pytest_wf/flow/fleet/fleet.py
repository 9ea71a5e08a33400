"""A flow with all of its pods: phases that run once, and phases that run on each member."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pytest_wf.court.checklist import Checklist
from pytest_wf.court.contract import Contract
from pytest_wf.errors import OperationFailed, PodGone, TransportError
from pytest_wf.evidence.records import FleetMember, FleetRecord
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.fleet.fleet_binding import FleetBinding, MemberBinding
from pytest_wf.flow.fleet.fleet_console import FleetConsole
from pytest_wf.flow.fleet.fleet_sweep import FleetSweep
from pytest_wf.flow.fleet.member import Member, Peers
from pytest_wf.flow.fleet.row_moves import RowMoves
from pytest_wf.flow.fleet.work import Work
from pytest_wf.flow.flow import Console, Flow
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.phase import Halt
from pytest_wf.flow.results import Result
from pytest_wf.flow.secrets import secrets_of
from pytest_wf.pods.base import Provider
from pytest_wf.project.project import Project
from pytest_wf.wire import assignment
from pytest_wf.wire.rows import CampaignStatus

#: The results of a phase, best first.
_STATUSES = ("skip", "ok", "fail")
#: A member that fails before this phase takes no part in the sweep.
_FIRST_OF_SWEEP = "P70"
#: The shortest time between two checks of all members while one of them is waited for.
_LOOK_S = 5.0


class Fleet:
    """A flow and its members: with one pod, its one `Flow`; with several, a `Member` for each and
    a `Flow` for the phases that run once.
    """

    def __init__(
        self,
        project: Project,
        contracts: Mapping[str, Contract],
        per_member: Collection[str],
        *,
        console: Console,
        **further: Any,
    ) -> None:
        #: By name; empty with one pod.
        self.members: dict[str, Member] = {}
        #: The part of phases that run once; with one pod, the complete flow.
        self.flow: Flow
        if not project.members:
            self.flow = Flow(project, contracts, console=console, **further)
            return
        common = _Common(project, contracts, per_member, console=console, **further)
        own = {code: contract for code, contract in contracts.items() if code in per_member}
        for name, its_project in project.members.items():
            common.peers.members[name] = Member(common.peers, name, its_project, own, **further)
        self.members = common.peers.members
        common.state.members = {name: member.state for name, member in self.members.items()}
        common.fleet_binding.members = {
            name: member.state.binding
            for name, member in self.members.items()
            if isinstance(member.state.binding, MemberBinding)
        }
        self.flow = common

    def of(self, member: str) -> Flow:
        """The flow that an item of `member` belongs to."""
        return self.members[member] if member else self.flow

    @property
    def flows(self) -> list[Flow]:
        """The flow, and the parts of its members."""
        return [self.flow, *self.members.values()]

    def is_open(self, code: str, member: str) -> bool:
        """Whether a member has begun a phase together with another one, and must be judged."""
        return bool(member) and self.members[member].is_open(code)

    def halt(self, contract: Contract, kind: str, text: str, member: str = "") -> None:
        """Skip the rest of a member's part, or of the flow; an interruption skips the flow."""
        if member and kind != "interrupted":
            self.members[member].halt(contract, kind, text)
            self.demand_enough()
            return
        for one in self.members.values():
            one.stop_work()
        for flow in self.flows:
            flow.halt(contract, kind, text)

    def demand_enough(self) -> None:
        """Halt the flow if a failure left too few usable members, or is the flow's own."""
        whole = self.flow.state
        if whole.halt is None:
            lost = {
                name: member.state.halt
                for name, member in self.members.items()
                if member.state.halt is not None and member.state.halt.phase < _FIRST_OF_SWEEP
            }
            least = whole.config.least_pods
            if lost and len(self.members) - len(lost) < least:
                named = ", ".join(f"{name} {halt}" for name, halt in lost.items())
                first = next(iter(lost.values()))
                text = f"fewer than {least} pods (WF_PODS_MIN) are usable: {named}"
                whole.halt = Halt(first.phase, first.code, first.kind, f"{text}: {first.text}")
        if whole.halt is not None:
            for member in self.members.values():
                member.state.halt = member.state.halt or whole.halt

    def finish(self, exit_code: int) -> Path:
        """Write the summaries of the members, then that of the flow, which covers them."""
        interrupted = exit_code == 2
        ends = [
            Work(name, partial(member.end_of_part, interrupted=interrupted)).start()
            for name, member in self.members.items()
        ]
        for work, member in zip(ends, self.members.values(), strict=True):
            self.flow.state.member_ends.append(work.wait(member.flush))
        return self.flow.finish(exit_code)

    def close(self) -> None:
        """Close the connections to the pods; processes on them continue."""
        for flow in reversed(self.flows):
            flow.close()


class _Common(Flow):
    """The phases that run once in a flow on several pods."""

    def __init__(
        self,
        project: Project,
        contracts: Mapping[str, Contract],
        per_member: Collection[str],
        *,
        console: Console,
        **further: Any,
    ) -> None:
        self._all_contracts = contracts
        self._moves: RowMoves | None = None
        own = {code: one for code, one in contracts.items() if code not in per_member}
        super().__init__(project, own, console=console, **further)
        self.peers = Peers(self, FleetConsole(console))
        self._courtroom.held_elsewhere = self._held_by_members
        self.fleet_binding.takes_part = self._takes_part

    @property
    def fleet_binding(self) -> FleetBinding:
        """The pods of the flow."""
        binding = self.state.binding
        assert isinstance(binding, FleetBinding)
        return binding

    def _new_binding(
        self, project: Project, providers: list[Provider], flow_id: str, store: EvidenceStore
    ) -> Binding:
        say = self._console.say
        return FleetBinding(project, providers, flow_id, store.events, say, self._show_silence)

    def _new_checklist(self, project: Project) -> Checklist:
        return self._checklist_of(project, self._all_contracts)

    def _takes_part(self, name: str) -> bool:
        if self._moves is not None and name in self._moves.gone:
            return False
        state = self.peers.members[name].state
        if state.project.options.sweep == "skip":
            return state.halt is None
        return state.fact("P60", "campaign_id") is not None

    def _open_sweep(self, on_status: Callable[[CampaignStatus], None]) -> FleetSweep:
        sweeps: dict[str, Sweep] = {}
        for name, member in self.peers.members.items():
            if self._takes_part(name):
                found = member.state.sweep
                assert isinstance(found, Sweep)
                sweeps[name] = found
        if not sweeps:
            raise OperationFailed(
                "no-campaign", "no pod has a campaign of this flow.", "Look at the cases of P60."
            )
        self._estimates.await_first_row()
        return FleetSweep(sweeps, self._why_not_trained, on_status, self._new_moves(sweeps))

    def _new_moves(self, sweeps: Mapping[str, Sweep]) -> RowMoves | None:
        """The object that moves rows between members; None if the flow does not wait for them."""
        project, config = self.state.project, self.state.config
        if not project.options.wait or project.options.sweep == "skip":
            return None
        if not self.peers.campaign_id:  # a resume continues the campaign of the pods
            self.peers.campaign_id = next(iter(sweeps.values())).campaign_id or ""
        self._moves = RowMoves(
            root=str(project.root),
            campaign_id=self.peers.campaign_id,
            partners=self.peers.partners(sweeps),
            rows=project.rows,
            gpus_per_run=config.gpus_per_run or 0,
            moves=config.wf_rebalance,
            secrets=secrets_of(project, self._environ),
            say=self.state.say,
            look_s=min(_LOOK_S, float(config.wf_flow_wait_interval_secs)),
            owners=self.peers.owners,
        )
        return self._moves

    def _why_not_trained(self, run_id: str) -> str:
        owner = self.peers.owners.get(run_id)
        halt = self.peers.members[owner.member].state.halt if owner is not None else None
        return f"{owner.member} was {halt}" if owner and halt else "no pod that takes part has it"

    def patience(self, code: str) -> AbstractContextManager[object]:
        """How long silent pods are waited for in a phase and in the tests of its rows."""
        stack = ExitStack()
        for member in self.peers.members.values():
            stack.enter_context(member.patience(code))
        return stack

    def provision(self) -> Result:
        """P10: rent a pod for each member; a member without a pod takes no part."""
        result = super().provision()
        for name in self.fleet_binding.unrented:
            why = "; ".join(self.fleet_binding.missing)
            text = f"no pod was rented for {name}: {why}"
            self.peers.members[name].halt(self.current.contract, "provider", text)
        return result

    def bind(self) -> Result:
        """P20: resolve the target of each member and lock it for the flow."""
        result = super().bind()
        self._write_fleet()
        return result

    def monitor(self) -> Result:
        """P70, including the rows that changed their pod."""
        try:
            return super().monitor()
        except (TransportError, OperationFailed) as e:
            self.peers.lacks_pods = _is_silence(e)
            raise
        finally:
            if self._moves is not None:
                self.peers.take_gone(self._moves.gone)
                moved = assignment.as_json(self._moves.moved)
                self.current.facts |= {"moved": moved, "gone": self._moves.gone}

    def finish(self, exit_code: int) -> Path:
        """Write the final fleet.json, then the flow's last files; see `Flow`."""
        self._write_fleet()
        return super().finish(exit_code)

    def _doubt_pod(self) -> None:
        for member in self.peers.members.values():
            member._doubt_pod()

    def _schedule_removal(self) -> None:
        for name, member in self.peers.members.items():
            if self._takes_part(name):
                member.state.pod.idle_removal.try_schedule()

    def _phase_statuses(self) -> dict[str, str]:
        """For each phase that members run, the worst of their results."""
        found = super()._phase_statuses()
        for member in self.peers.members.values():
            for code, record in member.state.phases.items():
                if code in member.state.contracts:
                    known = found.get(code, record.status)
                    found[code] = max(known, record.status, key=_STATUSES.index)
        return dict(sorted(found.items()))

    def _held_by_members(self) -> frozenset[str]:
        return frozenset().union(*(one.phases_held_here for one in self.peers.members.values()))

    def _write_fleet(self) -> None:
        peers, state = self.peers, self.state
        owners = assignment.as_json(peers.owners)
        members = []
        for name, one in self.fleet_binding.members.items():
            transport = one.target.transport if one.target is not None else ""
            members.append(FleetMember(member=name, transport=transport, target=one.locked))
        state.store.write_fleet(
            FleetRecord(
                flow_id=state.flow_id,
                least_pods=state.config.least_pods,
                members=members,
                campaign_id=peers.campaign_id or None,
                assignment={run_id: tuple(owner) for run_id, owner in owners.items()},
            )
        )


def _is_silence(error: TransportError | OperationFailed) -> bool:
    """Whether the reason of a failure is that a pod gave no answer, or is gone."""
    if isinstance(error, OperationFailed):
        return isinstance(error, PodGone) or error.kind == "timeout"
    return True
