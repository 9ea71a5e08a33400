"""Interfaces of providers and connections: adapters implement them, other code uses only them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from pytest_wf.errors import OperationFailed, WfError

if TYPE_CHECKING:
    from pytest_wf.config.keys import Config


@dataclass(frozen=True)
class Target:
    """The one machine that a flow works on; locked at P20 and compared by value from then on."""

    #: The provider's name: 'local', 'ssh' or another.
    transport: str
    #: What the user wrote, or the provider's id: 'local', an ssh alias, 'user@host:port'.
    name: str
    #: Where the choice came from: 'explicit' or 'autobind'.
    source: str = "explicit"
    #: Resolved address 'user@host:port'; empty for the local pod. Recorded and locked too.
    address: str = ""


@dataclass(frozen=True)
class Pod:
    """A machine that a provider rented, or lists."""

    id: str
    name: str
    status: str
    address: str = ""
    usd_per_hour: float | None = None
    rented_at: str = ""
    #: A name that the provider derives from the id; two pods may share one.
    huid: str = ""
    #: When the provider will end it by itself; '' for never.
    removal_at: str = ""
    #: The provider's machine that it is on.
    node_id: str = ""
    #: The owner's name for the API key that it was rented with; '' if that is not known.
    key_name: str = ""
    #: Whose it is, as far as this project knows: 'held', 'kept', 'orphan' or 'unlisted' (it was
    #: requested just now), and why.
    standing: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Rented:
    """The result of renting a pod: the pod as a target, its price, and facts for the evidence."""

    target: Target
    usd_per_hour: float | None = None
    rented_at: str = ""
    #: False for a pod that an earlier flow of this project rented and that is used again.
    is_new: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RentedPods:
    """The result of renting several pods: the pods, and why there are no more."""

    pods: tuple[Rented, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completed:
    """A command that ended. `returncode` is None if the link lost it: that is *unknown*."""

    argv: tuple[str, ...]
    returncode: int | None
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command is known to have ended with status 0."""
        return self.returncode == 0


class EffectLog(Protocol):
    """A log of side effects."""

    def effect(
        self, op: str, facts: Mapping[str, Any]
    ) -> AbstractContextManager[MutableMapping[str, Any]]:
        """Record that `op` is about to be done, and its outcome at the end of the context.

        Items of the mapping become the facts of the outcome.

        Raises OperationFailed('local-disk') if the intent cannot be written: then `op` must not be
        done.
        """


class NoLog:
    """An `EffectLog` that keeps nothing."""

    def effect(
        self, op: str, facts: Mapping[str, Any]
    ) -> AbstractContextManager[MutableMapping[str, Any]]:
        """Write nothing."""
        return nullcontext({})


@runtime_checkable
class Stream(Protocol):
    """A running remote process: bytes both ways.

    One thread may write while another one reads; `close` may be called from any thread.
    """

    def write(self, data: bytes) -> None:
        """Send all of `data` to the process's stdin.

        Raises LinkLost, and TimeoutError if the process took none of it for a long time.
        """

    def close_stdin(self) -> None:
        """Tell the process that no more input comes."""

    def read(self, max_bytes: int, timeout_s: float | None = None) -> bytes:
        """Up to `max_bytes` of stdout, as soon as there are any; b'' at its end.

        stderr is drained meanwhile (the last 64 KiB are kept). Raises TimeoutError when
        nothing came within `timeout_s`, LinkLost when the link broke.
        """

    def stderr_tail(self) -> str:
        """The last of what the process wrote to stderr."""

    def wait(self, timeout_s: float) -> int | None:
        """Exit status; None if it is unknown. Raises TimeoutError."""

    def close(self) -> None:
        """Give up the process: its stdin and stdout close. Never raises, may be repeated."""


@runtime_checkable
class Connection(Protocol):
    """One authenticated link to one pod. Thread-safe in `run` and `start`."""

    target: Target

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float,
        max_bytes: int = 4 * 1024 * 1024,
    ) -> Completed:
        """Run `argv` (never a shell string) to its end, draining both outputs together.

        Output beyond `max_bytes` is dropped. Raises TimeoutError past `timeout_s`,
        LinkLost when the link breaks.
        """

    def start(self, argv: Sequence[str]) -> Stream:
        """Start `argv` and return its streams."""

    def is_alive(self) -> bool:
        """Whether the link is not known to be dead; True does not prove that it is alive."""

    def facts(self) -> dict[str, str]:
        """For the evidence: host key fingerprint, cipher, address and the like."""

    def close(self) -> None:
        """Close the link. Never raises, may be repeated."""


class Provider(Protocol):
    """A kind of pod: resolves the targets that are its own and connects to them.

    Registered by the hook `pytest_wf_providers`. `project_dir` is always the project's root.
    """

    #: The transport name of its targets; in capitals the prefix of its config keys.
    name: str
    #: A dataclass of its config keys (`config.keys.key`); None for none.
    keys: type[Any] | None = None
    #: Environment variables that hold its credentials: masked wherever text is shown or kept.
    secret_env: tuple[str, ...] = ()
    #: Whether P10 may ask it for a new pod: then it is a `Renter`.
    can_rent: bool = False

    @abstractmethod
    def resolve(self, config: Config) -> Target | None:
        """The target that the config names, if it is this provider's. Contacts nothing."""

    @abstractmethod
    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> Connection:
        """Open the one connection of a flow. Raises TransportError.

        With `read_only` nothing is changed, here or on the pod: no host key is recorded and the
        pod is not marked as in use.
        """

    def problems(self, config: Config, project_dir: str) -> Sequence[WfError]:
        """What keeps it from reaching or renting a pod, as far as this machine alone knows.

        Contacts nothing and raises nothing.
        """
        return ()

    def gpus_to_rent(self, config: Config) -> int | None:
        """How many GPUs a pod that it rents would have; None if that is not known."""
        return None


class Renter(Provider, Protocol):
    """A provider that rents pods. `pods.rental.provider.RentalProvider` implements it."""

    can_rent: bool = True

    @abstractmethod
    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str
    ) -> Rented:
        """Rent a pod for this flow, or reuse the one that this project has.

        Raises OperationFailed('provider'); its text says what exists then.
        """

    def rent_pods(
        self,
        config: Config,
        flow_id: str,
        say: Callable[[str], None],
        project_dir: str,
        count: int,
        least: int,
    ) -> RentedPods:
        """Rent `count` pods, or reuse those that this project has; at least `least` of them.

        Raises OperationFailed('provider') if there are fewer; its text says what exists then.
        """
        if count > 1:
            raise OperationFailed(
                "provider",
                f"the provider {self.name} rents one pod for a flow, and WF_PODS is {count}.",
                "Set WF_PODS=1, or use a provider that implements `rent_pods`.",
            )
        return RentedPods((self.rent(config, flow_id, say, project_dir),))

    def find_unbound_pods(
        self,
        config: Config,
        flow_id: str,
        say: Callable[[str], None],
        project_dir: str,
        bound: Collection[str],
    ) -> Sequence[Rented | OperationFailed]:
        """The pods that a flow requested and did not bind, except those with the ids `bound`.

        An error takes the place of a pod whose existence cannot be determined.
        """
        try:
            found = self.find_unbound(config, flow_id, say, project_dir)
        except OperationFailed as e:
            return [e]
        return [] if found is None or found.target.name in bound else [found]

    @abstractmethod
    def find_unbound(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str
    ) -> Rented | None:
        """The pod that a flow requested and was stopped before it was bound; None for none.

        Raises OperationFailed if it cannot be determined whether there is one.
        """

    @abstractmethod
    def list_pods(self, config: Config, project_dir: str) -> list[Pod]:
        """Pods of the account that carry the product's name, and whose they are."""

    @abstractmethod
    def delete(self, target: Target, config: Config, project_dir: str) -> dict[str, object]:
        """Delete exactly the pod of `target` and prove it. Facts for the evidence.

        Raises OperationFailed('delete') saying what may still be billing.
        """

    @abstractmethod
    def schedule_removal(
        self, target: Target, config: Config, project_dir: str, after_s: int
    ) -> str:
        """Have a pod that this project rented end by itself `after_s` seconds from now; with 0
        cancel that. A time to live that ends earlier stays.

        Returns when it ends according to the provider; '' for never. Raises
        OperationFailed('provider').
        """

    def offers_now(self, config: Config, project_dir: str) -> tuple[Sequence[str], str] | None:
        """Nodes that could be rented now, as texts, and why others could not; None if that is
        not known. Rents nothing. Raises OperationFailed('provider')."""
        return None

    def volumes(self, config: Config, project_dir: str) -> Sequence[Mapping[str, Any]]:
        """The account's volumes: id, huid, name, size_gb."""
        return ()


def is_renter(provider: Provider) -> TypeGuard[Renter]:
    """Whether a provider rents pods."""
    return provider.can_rent


def pick_pod(pods: Sequence[Pod], written: str) -> Pod | None:
    """The pod that an id, a name or a huid means; ids come first, then names, then huids.

    None if no pod is meant. Raises OperationFailed if more than one is.
    """
    if not written:
        return None  # a pod without a huid, or a rental without a pod's id, is not what is meant
    for attribute in ("id", "name", "huid"):
        found = [pod for pod in pods if getattr(pod, attribute) == written]
        if len(found) > 1:
            ids = ", ".join(sorted(pod.id for pod in found))
            raise OperationFailed(
                "no-target",
                f"{len(found)} pods have the {attribute} {written!r}: {ids}.",
                "Name the intended one by its id.",
            )
        if found:
            return found[0]
    return None
