"""The pod of a flow: rented or named in the config, and bound once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from pytest_wf.errors import OperationFailed, WfError
from pytest_wf.evidence.event_log import EventLog
from pytest_wf.flow.operations import provision, rented_pods
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import Provider, Rented, Target
from pytest_wf.pods.patience import Patience
from pytest_wf.project.project import Project
from pytest_wf.wire import fsm


class Binding:
    """The pod of a flow, from before it is rented until after it is deleted."""

    def __init__(
        self,
        project: Project,
        providers: Sequence[Provider],
        flow_id: str,
        events: EventLog,
        say: Callable[[str], None],
        on_silence: Callable[[Patience], None],
    ) -> None:
        self._project = project
        #: The providers of the pod, in the order in which they are asked.
        self.providers = providers
        self._flow_id = flow_id
        self._events = events
        self._say = say
        self._on_silence = on_silence
        self._rented: Target | None = None
        #: Whether this flow rented the pod, rather than reusing a rented one.
        self.is_new = False
        #: A rented pod that P90 bound because P20 did not.
        self.left: Rented | None = None
        #: The target that P20 locked, as one comparable text; None before.
        self.locked: str | None = None
        #: The session with the bound pod; None before.
        self.session: PodSession | None = None
        self.is_deleted = False

    @property
    def target(self) -> Target | None:
        """The bound target; None before."""
        return None if self.session is None else self.session.target

    @property
    def pod(self) -> PodSession:
        """The session with the bound pod. Raises OperationFailed before P20 has bound one."""
        if self.session is None:
            raise OperationFailed(
                "no-target", "no target is bound yet.", "P20 binds one; run the whole flow."
            )
        return self.session

    def rent(self, *, interactive: bool) -> Result:
        """Rent a pod, or skip with the reason; see `operations.provision`."""
        result = provision.provision(
            self._project,
            self.providers,
            flow_id=self._flow_id,
            interactive=interactive,
            say=self._say,
        )
        self._rented = result.target
        self.is_new = result.target is not None and result.facts.get("is_new") is True
        return result

    def bind(self) -> Result:
        """Resolve the one target and lock it; see `operations.bind`."""
        result, provider, target = provision.bind(self._project, self.providers, self._rented)
        self._lock(provider, target)
        return result

    def bind_rented_pod(self) -> None:
        """Bind the pod that P10 rented, or was renting, if P20 did not run.

        P90 then keeps or deletes it like any other pod.
        """
        if self.session is not None:
            return
        found = rented_pods.find_unbound(self._project, self.providers, self._flow_id, self._say)
        if found is None:
            return
        provider, self.left = found
        self._rented, self.is_new = self.left.target, self.left.is_new
        self._lock(provider, self.left.target)

    @property
    def has_rented(self) -> bool:
        """Whether the pod was rented, by this flow or before."""
        return self._rented is not None

    def take(self, rented: Rented) -> None:
        """Use the pod that P10 rented for this member."""
        self._rented, self.is_new, self.left = rented.target, rented.is_new, rented

    def bind_taken(self, provider: Provider, rented: Rented) -> None:
        """Bind the pod that P10 rented, or was renting, if P20 did not run."""
        self.take(rented)
        self._lock(provider, rented.target)

    def target_now(self) -> str | None:
        """The config's target now, which the court compares with the locked target."""
        if self.locked is None:
            return None
        if self._rented is not None and self.session is not None:
            return _target_text(self.session.target)
        try:
            found = provision.resolve(self._project, self.providers)
        except WfError:
            return "unresolved"
        return _target_text(found[1]) if found else "unresolved"

    def begin_phase(self) -> None:
        """Begin to note the pod's state for a phase; no contact."""
        if self.session is not None:
            self.session.states.begin()

    def state_before(self) -> str | None:
        """The pod's state at the beginning of the phase; None if there is no pod or it is unknown.

        Asks the pod if the phase has not done so yet.
        """
        if self.session is None:
            return None
        if self.session.states.before is None and not self.is_deleted:
            self._ask_state()
        return self.session.states.before

    def state(self) -> str | None:
        """The pod's state after the phase's requests; None if there is no pod or it is unknown.

        Asks the pod if the phase's last request did not say it.
        """
        if self.is_deleted:
            return fsm.POD_TERMINATED
        if self.session is None:
            return None
        if self.session.states.after is None:
            self._ask_state()
        return self.session.states.after

    def _ask_state(self) -> None:
        if self.session is not None and self.session.is_open:
            with contextlib.suppress(WfError, TimeoutError, OSError):
                self.session.state()

    def has_resumable_campaign(self) -> bool:
        """Whether the pod has a campaign that could be resumed."""
        now = self.pod.state()
        return bool(now["campaign_id"]) and now["state"] in fsm.COMMANDS["sweep-resume"].legal_in

    def close(self) -> None:
        """Close the connection to the pod; processes on it continue."""
        if self.session is not None:
            self.session.close()

    def _lock(self, provider: Provider, target: Target) -> None:
        self.session = PodSession(
            self._project, provider, target, flow_id=self._flow_id, log=self._events
        )
        self.session.patience.tell = self._on_silence
        self.locked = _target_text(target)


def _target_text(target: Target) -> str:
    """The target as locked and shown: its name and address, once if they are the same."""
    if target.address.startswith(target.name):
        return f"{target.transport}:{target.address}"
    where = f"@{target.address}" if target.address else ""
    return f"{target.transport}:{target.name}{where}"
