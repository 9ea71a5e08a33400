"""Base class of providers that rent: pods bound by id, pinned by host key, provably deleted.

The provider's listing says what exists; the project's journal says what was requested. A new
provider is a subclass of `RentalProvider` that declares its keys and opens its account. The hook
`pytest_wf_providers` of `hookspecs` registers it.
"""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_wf.config.formats import ttl_s
from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed, PodGone, Unreachable, WfError
from pytest_wf.pods.base import Connection, Pod, Rented, RentedPods, Renter, Target, pick_pod
from pytest_wf.pods.rental.account import (
    FINAL_STATUSES,
    RUNNING,
    Account,
    Busy,
    NoResponse,
    Requirements,
)
from pytest_wf.pods.rental.config_keys import RentalKeys
from pytest_wf.pods.rental.deletion import delete_pod, delete_rental
from pytest_wf.pods.rental.identity import await_banner, check_identity, record_connection
from pytest_wf.pods.rental.journal import Journal, Rental, now
from pytest_wf.pods.rental.offers import choose, has_prefix
from pytest_wf.pods.rental.pod_rent import PodRent, RentContext
from pytest_wf.pods.rental.recovery import find_unbound, rentals_of, unlisted
from pytest_wf.pods.rental.removal_schedule import later, schedule_removal
from pytest_wf.pods.rental.rent import Renting
from pytest_wf.pods.rental.shared_account import Pace, SharedListing, shared
from pytest_wf.pods.rental.timing import Timing, list_pods
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.connect import SshSettings, open_connection, project_known_hosts
from pytest_wf.pods.ssh.known_hosts import KnownHosts
from pytest_wf.wire import user

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config

_ADDRESS = re.compile(r"([^@]+)@\[?([^\]]+?)\]?:([0-9]+)")


class RentalProvider(Renter):
    """Rents, finds, connects to and deletes pods of one account.

    A subclass sets `name`, sets `keys` if it has keys beyond `RentalKeys`, and implements
    `account`. `timing` replaces the time limits of the config.
    """

    keys: type[RentalKeys] = RentalKeys

    def __init__(self, timing: Timing | None = None) -> None:
        self._given_timing = timing
        #: The pod that was last listed for each target's name.
        self._known: dict[str, Pod] = {}
        self._pace: Pace | None = None
        self._listing = SharedListing()

    @abstractmethod
    def account(self, config: Config, project_dir: str) -> Account:
        """Open the account. Contacts nothing. Raises OperationFailed with the remedy."""

    def requirements(self, config: Config) -> Requirements:
        """What the config requires of a node to rent."""
        keys = self.keys_of(config)
        ttl = ttl_s(keys.ttl) if keys.ttl else 0
        return Requirements(max_usd_per_hour=config.wf_max_usd_per_hour, ttl_s=ttl)

    def keys_of(self, config: Config) -> RentalKeys:
        """The values of this provider's keys."""
        return config.of(self.name, self.keys)

    def problems(self, config: Config, project_dir: str) -> list[WfError]:
        """An account that cannot be opened."""
        try:
            self.account(config, project_dir)
        except WfError as e:
            return [e]
        return []

    def gpus_to_rent(self, config: Config) -> int | None:
        """The number in the keys."""
        return self.requirements(config).count

    def offers_now(self, config: Config, project_dir: str) -> tuple[Sequence[str], str]:
        """Nodes that could be rented now, and why others could not; rents nothing."""
        wanted = self.requirements(config)
        choice = choose(self._account(config, project_dir).offers(wanted), wanted)
        return [str(offer) for offer in choice.offers], choice.reasons()

    def resolve(self, config: Config) -> Target | None:
        """The pod that the provider's target key names. Contacts nothing."""
        written = self.keys_of(config).target
        return Target(self.name, written) if written else None

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str
    ) -> Rented:
        """Reuse the pod that this project has and no process uses; else rent one.

        Raises OperationFailed; its text says what exists then.
        """
        return self.rent_pods(config, flow_id, say, project_dir, 1, 1).pods[0]

    def rent_pods(
        self,
        config: Config,
        flow_id: str,
        say: Callable[[str], None],
        project_dir: str,
        count: int,
        least: int,
    ) -> RentedPods:
        """Reuse pods that this project has and no process uses, and rent the others.

        Raises OperationFailed if there are fewer than `least`; its text says what exists then.
        """
        context = RentContext(
            self._account(config, project_dir),
            self._journal(project_dir),
            self.keys_of(config),
            flow_id,
            say,
            self._timing(config),
        )
        renting = Renting(context, self.requirements(config), count, least)
        pods = [self._rented(pod, renting.facts(pod)) for pod in renting.run()]
        return RentedPods(tuple(pods), tuple(e.message for e in renting.failures))

    def _rented(self, pod: PodRent, facts: Mapping[str, Any]) -> Rented:
        rental, price = pod.rental, facts["usd_per_hour"]
        return Rented(
            Target(self.name, rental.pod_id, source="autobind"),
            usd_per_hour=rental.usd_per_hour if price is None else price,
            rented_at=rental.rented_at,
            is_new=pod.is_new,
            facts={**facts, "bind": f"{prefix_of(self.name)}TARGET={rental.pod_id}"},
        )

    def find_unbound(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str
    ) -> Rented | None:
        """The pod that a flow requested, or took over, and never bound.

        Raises OperationFailed if it cannot be determined whether there is one.
        """
        mine = rentals_of(self._journal(project_dir), flow_id)
        return self._find_unbound(mine[-1], config, flow_id, say, project_dir) if mine else None

    def find_unbound_pods(
        self,
        config: Config,
        flow_id: str,
        say: Callable[[str], None],
        project_dir: str,
        bound: Collection[str],
    ) -> Sequence[Rented | OperationFailed]:
        """The pods that a flow requested, or took over, except those with the ids `bound`.

        An error takes the place of a pod whose existence cannot be determined.
        """
        found: list[Rented | OperationFailed] = []
        for rental in rentals_of(self._journal(project_dir), flow_id):
            if rental.pod_id and rental.pod_id in bound:
                continue
            try:
                pod = self._find_unbound(rental, config, flow_id, say, project_dir)
            except OperationFailed as e:
                found.append(e)
                continue
            found += [] if pod is None else [pod]
        return found

    def _find_unbound(
        self,
        rental: Rental,
        config: Config,
        flow_id: str,
        say: Callable[[str], None],
        project_dir: str,
    ) -> Rented | None:
        account, journal = self._account(config, project_dir), self._journal(project_dir)
        found = find_unbound(account, journal, rental, self._timing(config), say)
        if found is None:
            return None
        rental, pod = found
        return Rented(
            Target(self.name, pod.id, source="autobind"),
            usd_per_hour=rental.usd_per_hour if pod.usd_per_hour is None else pod.usd_per_hour,
            rented_at=rental.rented_at,
            is_new=rental.flow_id == flow_id,
            facts={"pod_name": rental.name, "status": pod.status},
        )

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> Connection:
        """Open the one connection of a flow, to the pod that `target` means.

        The address comes from the listing each time, as a reboot may change it; the pod is the
        same only if its id, its host key and the nonce that was left on it agree. Raises
        TransportError, OperationFailed('no-target', 'target-changed', 'provider').
        """
        account = self._account(config, project_dir)
        pod = self._find(account, target, config)
        journal = self._journal(project_dir)
        rental = journal.of_pod(pod.id)
        address = self._address(pod, account)
        await_banner(address, self._timing(config).banner_s)
        home = user.home()
        is_first = rental is not None and not rental.host_key
        settings = SshSettings(
            config, project_dir, home, record_host_key=not read_only, accept_first_key=is_first
        )
        facts = {"pod_id": pod.id, "pod_name": pod.name, "usd_per_hour": _text(pod)}
        connection = open_connection(target, address, settings, facts)
        try:
            if rental is not None and (not (read_only and is_first)):
                check_identity(rental, connection)
            if rental is not None and not read_only:
                record_connection(journal, rental, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def delete(self, target: Target, config: Config, project_dir: str) -> dict[str, object]:
        """Delete exactly the pod of `target` and prove by the listing that it is gone.

        Raises OperationFailed('delete') saying what may still be billing.
        """
        account = self._account(config, project_dir)
        journal = self._journal(project_dir)
        pod = self._known.get(target.name)
        rental = journal.of_pod(pod.id if pod else target.name)
        if rental is None and pod is None:
            pod = self._find(account, target, config)
            rental = journal.of_pod(pod.id)
        if rental is not None:
            facts = delete_rental(account, journal, rental, self._timing(config))
        else:
            assert pod is not None
            facts = delete_pod(account, pod, self._timing(config))
        KnownHosts([project_known_hosts(project_dir)]).forget(str(facts["pod_id"]).lower())
        return {"deleted": True, **facts}

    def list_pods(self, config: Config, project_dir: str) -> list[Pod]:
        """The account's pods that carry the configured name, and whose they are."""
        account = self._account(config, project_dir)
        rentals = self._journal(project_dir).rentals()
        prefix = self.keys_of(config).pod_name
        ours = [pod for pod in account.pods() if has_prefix(prefix, pod.name)]
        # one that is deleted or connected to next needs no second listing
        self._known.update({pod.id: pod for pod in ours})
        shown = [_with_standing(pod, rentals) for pod in ours]
        return shown + unlisted(rentals, ours, self._timing(config))

    def volumes(self, config: Config, project_dir: str) -> Sequence[Mapping[str, Any]]:
        """The account's volumes."""
        return self._account(config, project_dir).volumes()

    def schedule_removal(
        self, target: Target, config: Config, project_dir: str, after_s: int
    ) -> str:
        """Schedule the removal of a pod that this project rented, or cancel it.

        Nothing is done if the pod was rented elsewhere: its removal must not be changed then.
        Raises OperationFailed('provider') if the removal cannot be read back.
        """
        journal = self._journal(project_dir)
        known = self._known.get(target.name)
        rental = journal.of_pod(known.id if known else target.name)
        if rental is None or not (after_s or rental.idle_at):
            return rental.removal_at if rental else ""
        account = self._account(config, project_dir)
        ttl_at = later(rental.asked_at, rental.ttl_s) if rental.ttl_s else ""
        idle_at = later(now(), after_s) if after_s else ""
        when = min(at for at in (ttl_at, idle_at) if at) if ttl_at or idle_at else ""
        if idle_at:
            # before it is requested: one without an answer has to be cancelled too
            journal.update(rental, idle_at=idle_at)
        pod = Pod(rental.pod_id, rental.name, "")
        read = schedule_removal(account, pod, when, self._timing(config))
        if read is None:
            raise OperationFailed(
                "provider",
                f"the end of {rental.name} could not be set to {when or 'never'} and read back.",
                "Look at `wf pod-list`; WF_IDLE_DELETE_SECS=0 switches this off.",
            )
        if not idle_at:
            journal.update(rental, idle_at="")
        return read

    def _account(self, config: Config, project_dir: str) -> Account:
        """The account, whose rate and listing all pods of this process share."""
        timing = self._timing(config)
        self._pace = self._pace or Pace(timing.requests, timing.window_s)
        return shared(self.account(config, project_dir), self._pace, self._listing)

    def _journal(self, project_dir: str) -> Journal:
        return Journal(project_dir, self.name)

    def _timing(self, config: Config) -> Timing:
        return self._given_timing or Timing.of(self.keys_of(config))

    def _find(self, account: Account, target: Target, config: Config) -> Pod:
        known = self._known.get(target.name)
        try:
            pods = account.pods()
        except (Busy, NoResponse) as e:
            if known is not None and known.address:
                return known  # the link may work although the API does not
            raise Unreachable(e.message, e.remedy) from e
        pod = pick_pod(pods, known.id if known else target.name)
        if pod is None and known is None and target.source == "explicit":
            raise OperationFailed(
                "no-target",
                f"the account has no pod with the id, name or huid {target.name!r}.",
                f"Correct {prefix_of(self.name)}TARGET (`wf pod-list`), or empty it to rent one.",
            )
        if pod is None and known is not None and self._is_gone(account, known, config):
            raise PodGone(
                "provider",
                f"pod {known.name} ({known.id}) is no longer listed by {self.name}: it was "
                "removed, or its time to live is over. It is no longer billed.",
                "What was not fetched from it is lost. Begin a new flow.",
            )
        if pod is None:
            raise Unreachable(f"pod {target.name} is not listed.", "Look at `wf pod-list`.")
        self._known[target.name] = pod
        return pod

    def _is_gone(self, account: Account, known: Pod, config: Config) -> bool:
        """Whether a pod that was listed before is missing from a second listing too."""
        time.sleep(self._timing(config).poll_s)
        pods = list_pods(account, self._timing(config))
        return pods is not None and all(pod.id != known.id for pod in pods)

    def _address(self, pod: Pod, account: Account) -> Address:
        found = _ADDRESS.fullmatch(pod.address)
        if pod.status != RUNNING or found is None:
            if pod.status in FINAL_STATUSES:
                raise OperationFailed(
                    "provider", f"pod {pod.name} ({pod.id}) is {pod.status}.", "Rent another one."
                )
            raise Unreachable(f"pod {pod.name} ({pod.id}) is {pod.status}.", "Wait for it to run.")
        return Address(
            user=found[1],
            host=found[2],
            port=int(found[3]),
            key_alias=pod.id.lower(),
            identity_files=(account.identity_file,) if account.identity_file else (),
        )


def _with_standing(pod: Pod, rentals: Sequence[Rental]) -> Pod:
    rental = next((r for r in rentals if r.pod_id == pod.id), None) or next(
        (r for r in rentals if r.name == pod.name and not r.pod_id and pod.id not in r.known), None
    )
    if rental is None:
        return replace(pod, standing="orphan", reason=_foreign(pod))
    by = f"rented by {rental.flow_id} of this project"
    if rental.state == "deleting":
        return replace(pod, standing="orphan", reason=f"{by}, whose deletion was not completed")
    if rental.is_held:
        return replace(
            pod, standing="held", reason=f"{by}, used by process {rental.owner.get('pid')}"
        )
    return replace(pod, standing="kept", reason=f"{by}, and not in use")


def _foreign(pod: Pod) -> str:
    """What is known of a pod that carries the product's name and is in no journal here."""
    key = f" (by the API key {pod.key_name!r})" if pod.key_name else ""
    return f"not rented by this project{key}; it may belong to a flow on another machine"


def _text(pod: Pod) -> str:
    return "" if pod.usd_per_hour is None else f"{pod.usd_per_hour:g}"
