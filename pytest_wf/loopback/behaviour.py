"""How a loopback account misbehaves, if it does."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Fault:
    """What happens to the next `times` requests of one route, after `skip` good ones.

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
        """Whether this request is struck; counts it."""
        if route != self.route or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Behaviour:
    """The switches of a loopback account; the defaults are a good day. Times in seconds."""

    latency_s: float = 0.0
    #: From the rent to RUNNING.
    boot_s: float = 0.0
    #: From RUNNING to a listening sshd.
    sshd_delay_s: float = 0.0
    #: So many of the next rents end in CREATION_FAILED, and vanish `vanish_s` later.
    creation_failures: int = 0
    vanish_s: float = 0.3
    #: So many of the next pods stay PENDING for ever.
    never_boot: int = 0
    #: DELETE of a PENDING pod is refused.
    refuse_delete_while_pending: bool = True
    #: DELETE is answered, and the pod is listed as DELETING for so long.
    removing_s: float = 0.0
    #: DELETE is answered, and nothing happens.
    ignore_delete: bool = False
    #: A new pod is listed only so long after it was rented.
    listing_delay_s: float = 0.0
    #: So many of the next rents find that the node is taken.
    taken: int = 0
    #: Prices are multiplied by `price_factor` after so many listings of nodes; None for never.
    price_rises_after: int | None = None
    price_factor: float = 2.0
    #: The pod is billed at this multiple of what the node was listed for.
    billed_factor: float = 1.0
    #: Scheduled removals are answered and forgotten.
    ignore_schedule: bool = False
    #: Idempotency keys are honoured, and the API says so.
    idempotent: bool = True
    #: It says so, and has forgotten them.
    forgets_keys: bool = False
    #: US dollars; rents are refused below 15 minutes of the price.
    balance_usd: float = 100.0
    #: What the API key may do.
    scopes: frozenset[str] = frozenset({"read", "rent", "manage", "billing"})
    #: A reboot gives the pod another port.
    new_port_on_reboot: bool = True
    faults: list[Fault] = field(default_factory=list)
