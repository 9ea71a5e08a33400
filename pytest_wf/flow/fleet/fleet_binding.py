"""The pods of a flow with several members: bound once, each to its member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.binding import Binding
from pytest_wf.flow.operations import provision, rented_pods
from pytest_wf.flow.results import Result
from pytest_wf.pods.base import Target
from pytest_wf.wire import fsm


class MemberBinding(Binding):
    """The pod of one member; the fleet rented it."""

    #: Why it is unknown whether there is a pod.
    trouble: OperationFailed | None = None

    def bind_rented_pod(self) -> None:
        """Do nothing, as the fleet does it. Raises OperationFailed if a pod may be billing."""
        if self.trouble is not None:
            raise self.trouble


class FleetBinding(Binding):
    """The flow's pods as a whole; each member has its own `Binding`."""

    #: The bindings of the members, by name; set once these are created.
    members: Mapping[str, MemberBinding] = {}
    #: Why pods were not rented, if the rented ones are enough.
    missing: Sequence[str] = ()
    #: Whether a member, by name, takes part in the sweep.
    takes_part: Callable[[str], bool] = staticmethod(bool)

    def rent(self, *, interactive: bool) -> Result:
        """Rent a pod for each member, or skip with the reason."""
        result, rented = provision.provision_pods(
            self._project,
            self.providers,
            flow_id=self._flow_id,
            interactive=interactive,
            say=self._say,
        )
        self.missing = rented.missing
        for one, pod in zip(self.members.values(), rented.pods, strict=False):
            one.take(pod)
        return result

    @property
    def unrented(self) -> list[str]:
        """Members without a pod, if others have one."""
        with_pod = [name for name, one in self.members.items() if one.has_rented]
        return [name for name in self.members if name not in with_pod] if with_pod else []

    def bind(self) -> Result:
        """Resolve the target of each member and lock it."""
        left = self.unrented
        found = {n: binding.bind() for n, binding in self.members.items() if n not in left}
        self.locked = _joined({name: one.locked for name, one in self.members.items()})
        first = next(iter(found.values()))
        facts = {
            **first.facts,
            "name": f"{len(found)} pods",
            "address": "",
            "members": {name: result.facts for name, result in found.items()},
        }
        return Result("bind", facts, target=first.target)

    def bind_rented_pod(self) -> None:
        """Bind to members the pods that P10 rented, or was renting, if P20 did not run.

        P90 then keeps or deletes each of these pods like any other.
        """
        bound = [one.target.name for one in self.members.values() if one.target is not None]
        free = [one for one in self.members.values() if one.target is None]
        if bound or not free:
            return
        provider, found = rented_pods.find_unbound_pods(
            self._project, self.providers, self._flow_id, self._say, bound
        )
        for one, pod in zip(free, found, strict=False):
            if isinstance(pod, OperationFailed):
                one.trouble = pod
            elif provider is not None:
                one.bind_taken(provider, pod)

    @property
    def target(self) -> Target | None:
        """The targets of all members as one; None before P20 has bound them."""
        found = [one.target for one in self.members.values() if one.target is not None]
        if not found or self.locked is None:
            return None
        transports = " ".join(dict.fromkeys(target.transport for target in found))
        names = " ".join(target.name for target in found)
        return Target(transport=transports, name=names, source=found[0].source)

    def target_now(self) -> str | None:
        """The config's present target for each member."""
        if self.locked is None:
            return None
        return _joined({name: one.target_now() for name, one in self.members.items()})

    def begin_phase(self) -> None:
        """Begin to note the state of each pod."""
        for one in self.members.values():
            one.begin_phase()

    def state_before(self) -> str | None:
        """The least advanced state of the pods at the phase's beginning; None if one is unknown."""
        return self._least(Binding.state_before)

    def state(self) -> str | None:
        """The least advanced state of the pods; None if one is unknown."""
        return self._least(Binding.state)

    def _least(self, state_of: Callable[[Binding], str | None]) -> str | None:
        states = [state_of(one) for name, one in self.members.items() if self.takes_part(name)]
        if not states or None in states:
            return None
        return min((str(state) for state in states), key=fsm.STATES.index)

    def has_resumable_campaign(self) -> bool:
        """Whether any pod has a campaign that could be resumed."""
        return any(one.has_resumable_campaign() for one in self.members.values())

    def close(self) -> None:
        """Do nothing: each member closes its own."""


def _joined(targets: Mapping[str, str | None]) -> str:
    return " ".join(f"{name}={target}" for name, target in targets.items())
