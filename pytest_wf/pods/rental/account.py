"""The interface of a renting provider: what its API has to do, in typed records and three answers.

If a method returns, the request succeeded. `Refused` (and `NotFound`) means that nothing was done,
`Busy` that nothing was done yet, `NoResponse` that the outcome is unknown. Everything else about
renting (the journal, retries, recovery, proofs) is done by the rest of this package.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod

#: Status of a pod that can be connected to. An account uses these words in `Pod.status`; any other
#: word means a pod that is not ready yet.
RUNNING = "RUNNING"
#: Statuses that a pod never leaves; none of them is billed.
FINAL_STATUSES = frozenset(
    "FAILED STOPPED ERROR TERMINATED DELETED REMOVED CANCELLED CREATION_FAILED BROKEN "
    "REBOOT_FAILED DELETING".split()
)
#: Statuses of a pod that was never created; it may stay listed for some minutes.
NEVER_CREATED = frozenset({"CREATION_FAILED"})


class Refused(OperationFailed):
    """The API refused: nothing was done. `stops` means that another node would not help."""

    def __init__(self, message: str, remedy: str = "", *, stops: bool = False) -> None:
        super().__init__("provider", message, remedy)
        self.stops = stops


class NotFound(Refused):
    """The object of the request does not exist (any more)."""


class Busy(OperationFailed):
    """The API asked to try again later: nothing was done. Try again after `retry_after_s`."""

    def __init__(self, retry_after_s: float, message: str, remedy: str = "") -> None:
        super().__init__("provider", message, remedy or "Try again in a minute.")
        self.retry_after_s = retry_after_s


class NoResponse(OperationFailed):
    """No answer, or one that does not tell whether the request was carried out.

    `is_error` means that the API itself answered, with an error of its own.
    """

    def __init__(self, message: str, remedy: str = "", *, is_error: bool = False) -> None:
        super().__init__("provider", message, remedy or "Check the network, and try again.")
        self.is_error = is_error


@dataclass(frozen=True)
class Requirements:
    """What a project requires of a node."""

    gpu: str = ""
    count: int = 1
    country: str = ""
    ports: int | None = None
    node: str = ""
    #: The config key that names `node`, for messages.
    node_key: str = ""
    max_usd_per_hour: float | None = None
    ttl_s: int = 0

    def __str__(self) -> str:
        words = [f"{self.count} GPU"] + [w for w in (self.gpu, self.country, self.node) if w]
        if self.max_usd_per_hour is not None:
            words.append(f"at most ${self.max_usd_per_hour:g}/h")
        return ", ".join(words)


@dataclass(frozen=True)
class Offer:
    """A node that can be rented now. Prices in US dollars an hour."""

    id: str
    huid: str
    gpu_type: str
    machine_name: str
    #: GPUs of the whole node, and those that are free.
    gpu_count: int
    free: int
    usd_per_gpu: float
    tier: str = ""
    country: str = ""
    country_code: str = ""
    ports: int | None = None
    whole_only: bool = False
    often_fails: bool = False

    def usd_per_hour(self, gpus: int) -> float:
        """What `gpus` of its GPUs cost."""
        return self.usd_per_gpu * gpus

    def __str__(self) -> str:
        where = self.country or self.country_code or "somewhere"
        return f"{self.huid} ({self.gpu_type}, {self.tier or 'no tier'}, {where}, {self.id})"


@dataclass(frozen=True)
class RentRequest:
    """A rent that is ready to be sent, under its idempotency key."""

    key: str
    payload: Mapping[str, Any]


class Account(Protocol):
    """One account of a provider. Each method is one request.

    All of them raise `Refused` (`NotFound`), `Busy` or `NoResponse`. The methods with a body are
    optional for a class that derives from this one.
    """

    #: The private key whose public half is given to rented pods; '' for the user's own keys.
    identity_file: str = ""
    #: Called before each request, repeated ones included: it waits until the provider's rate limit
    #: allows another one.
    before_request: Callable[[], None] = staticmethod(lambda: None)

    @abstractmethod
    def offers(self, wanted: Requirements) -> Sequence[Offer]:
        """Nodes on offer; those that do not meet `wanted` may be left out."""

    @abstractmethod
    def pods(self) -> Sequence[Pod]:
        """Every pod of the account, whoever rented it."""

    @abstractmethod
    def prepare(self, offer: Offer, wanted: Requirements, name: str) -> RentRequest:
        """The request that would rent `offer` under `name`; nothing is rented."""

    @abstractmethod
    def rent(self, request: RentRequest, timeout_s: float) -> str:
        """Send a rent, once. The new pod's id; NoResponse if there may be one or not."""

    @abstractmethod
    def delete(self, pod: Pod) -> None:
        """Request the deletion of one pod."""

    def schedule_removal(self, pod: Pod, when: str) -> None:
        """Have the provider remove the pod at `when` (RFC 3339) by itself; '' for never.

        `Pod.removal_at` of a later listing must show it.
        """
        raise Refused("this provider does not remove pods by itself.")

    def honours_keys(self) -> bool:
        """Whether a rent that is repeated under its idempotency key counts as one rent."""
        return False

    def identity(self) -> str:
        """The owner of the account, the same for all of its API keys; '' if that is not known."""
        return ""

    def billed_usd(self, pod_id: str) -> float | None:
        """What a pod has cost by the account's statement; None if that is not known."""
        return None

    def volumes(self) -> Sequence[Mapping[str, Any]]:
        """The account's volumes: id, huid, name, size_gb."""
        return ()
