"""Good and bad days of a Lium account on loopback."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.loopback import Behaviour, Fault


@dataclass
class Case:
    """One day of an account: its name and what is wrong."""

    name: str
    behaviour: Behaviour
    nodes: int = 2


def faults() -> list[Case]:
    """Requests that fail, of every route and in every way, once and for ever."""
    routes: tuple[str, ...] = (
        "nodes",
        "machines",
        "images",
        "templates",
        "keys",
        "new-key",
        "pods",
        "rent",
    )
    routes = (*routes, "delete", "schedule", "statement")
    kinds = ("429", "503", "drop-before", "drop-after")
    cases = []
    for route in routes:
        for kind in kinds:
            for skip in (0, 1) if route in ("nodes", "pods", "delete", "schedule") else (0,):
                fault = Fault(route, kind, skip=skip)
                cases.append(Case(f"{kind} of {route} {skip}", Behaviour(faults=[fault])))
    for route in ("nodes", "pods", "rent", "delete", "schedule"):
        for kind in kinds:
            fault = Fault(route, kind, times=-1, skip=0 if route == "nodes" else 1)
            cases.append(Case(f"{kind} of {route} for ever", Behaviour(faults=[fault])))
    return cases


def moods() -> list[Case]:
    """Every switch of a loopback account, alone and in bad company."""
    switches = {
        "a good day": Behaviour(),
        "latency": Behaviour(latency_s=0.05),
        "slow boot": Behaviour(boot_s=0.6),
        "creation failed": Behaviour(creation_failures=1),
        "creation failed, vanished at once": Behaviour(creation_failures=1, vanish_s=0.0),
        "creation failed twice": Behaviour(creation_failures=2),
        "never boots": Behaviour(never_boot=1),
        "never boots, may be deleted": Behaviour(never_boot=1, refuse_delete_while_pending=False),
        "node taken": Behaviour(taken=1),
        "every node taken": Behaviour(taken=9),
        "late listing": Behaviour(listing_delay_s=0.4),
        "very late listing": Behaviour(listing_delay_s=3.0),
        "lost answer, late listing": Behaviour(
            listing_delay_s=0.4, faults=[Fault("rent", "drop-after")]
        ),
        "lost answer, very late listing": Behaviour(
            listing_delay_s=3.0, faults=[Fault("rent", "drop-after")]
        ),
        "lost answer, key forgotten": Behaviour(
            forgets_keys=True, faults=[Fault("rent", "drop-after")]
        ),
        "lost answer, keys not honoured": Behaviour(
            idempotent=False, faults=[Fault("rent", "drop-after")]
        ),
        "price rises": Behaviour(price_rises_after=1),
        "billed dearer": Behaviour(billed_factor=3.0),
        "slow removal": Behaviour(removing_s=0.5),
        "very slow removal": Behaviour(removing_s=5.0),
        "removal ignored": Behaviour(ignore_delete=True),
        "schedule ignored": Behaviour(ignore_schedule=True),
        "no balance": Behaviour(balance_usd=0.1),
        "may not rent": Behaviour(scopes=frozenset({"read", "manage", "billing"})),
        "may not delete": Behaviour(scopes=frozenset({"read", "rent", "billing"})),
        "may not see bills": Behaviour(scopes=frozenset({"read", "rent", "manage"})),
    }
    return [Case(name, behaviour) for name, behaviour in switches.items()]
