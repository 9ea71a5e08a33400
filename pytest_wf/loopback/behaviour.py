"""The delays and faults of a loopback account."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Fault:
    """A fault of the next `times` requests of one route, after `skip` good ones.

    `route` is a name of `api.route_of`, such as 'rent', 'pods', 'delete'. `kind` is an HTTP
    status as text ('429', '503', …), 'drop-before' (the connection ends and nothing was done)
    or 'drop-after' (it was done, and no answer comes).
    """

    route: str
    kind: str
    times: int = 1
    skip: int = 0
    retry_after_s: float = 0.05

    def strikes(self, route: str) -> bool:
        """Whether this request gets the fault; counts the request."""
        if route != self.route or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Behaviour:
    """The settings of a loopback account; by default without faults. Times in seconds."""

    latency_s: float = 0.0
    #: From the rent to RUNNING.
    boot_s: float = 0.0
    #: From RUNNING to a listening sshd.
    sshd_delay_s: float = 0.0
    #: How many of the next rents end in CREATION_FAILED, and vanish `vanish_s` later.
    creation_failures: int = 0
    vanish_s: float = 0.3
    #: How many of the next pods stay PENDING for ever.
    never_boot: int = 0
    #: DELETE of a PENDING pod is refused.
    refuse_delete_while_pending: bool = True
    #: DELETE is answered, and the pod is listed as DELETING for this time.
    removing_s: float = 0.0
    #: DELETE is answered, and nothing happens.
    ignore_delete: bool = False
    #: From the rent to the first listing of the pod.
    listing_delay_s: float = 0.0
    #: How many of the next rents find that the node is taken.
    taken: int = 0
    #: After how many listings of nodes prices are multiplied by `price_factor`; None for never.
    price_rises_after: int | None = None
    price_factor: float = 2.0
    #: A pod is billed at this multiple of the node's listed price.
    billed_factor: float = 1.0
    #: Scheduled removals are answered and forgotten.
    ignore_schedule: bool = False
    #: Idempotency keys are honoured, and the API says so.
    idempotent: bool = True
    #: The API says so, but has forgotten them.
    forgets_keys: bool = False
    #: US dollars; a rent is refused if they do not cover 15 minutes of its price.
    balance_usd: float = 100.0
    #: What the API key may do.
    scopes: frozenset[str] = frozenset({"read", "rent", "manage", "billing"})
    #: A reboot gives the pod another port.
    new_port_on_reboot: bool = True
    faults: list[Fault] = field(default_factory=list)
