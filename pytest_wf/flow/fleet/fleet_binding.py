"""The pods of a flow with several members: bound once, each to its member."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_wf.flow.binding import Binding
from pytest_wf.flow.results import Result
from pytest_wf.pods.base import Target
from pytest_wf.wire import fsm


class FleetBinding(Binding):
    """What the flow as a whole knows of its pods; each member has its own `Binding`."""

    #: The bindings of the members, by name; set when these are made.
    members: Mapping[str, Binding] = {}
    #: Whether a member, by its name, takes part in the sweep.
    takes_part: Callable[[str], bool] = staticmethod(bool)

    def bind(self) -> Result:
        """Resolve the target of each member and lock it."""
        found = {name: binding.bind() for name, binding in self.members.items()}
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
        """Nothing: each member binds its own."""

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
        """What the config resolves to now for each member."""
        if self.locked is None:
            return None
        return _joined({name: one.target_now() for name, one in self.members.items()})

    def state(self) -> str | None:
        """The least advanced state of a pod; None where one is not known."""
        states = [one.state() for name, one in self.members.items() if self.takes_part(name)]
        if not states or None in states:
            return None
        return min((str(state) for state in states), key=fsm.STATES.index)

    def has_resumable_campaign(self) -> bool:
        """Whether any pod has a campaign that could be resumed."""
        return any(one.has_resumable_campaign() for one in self.members.values())

    def close(self) -> None:
        """Nothing: each member closes its own."""


def _joined(targets: Mapping[str, str | None]) -> str:
    return " ".join(f"{name}={target}" for name, target in targets.items())
