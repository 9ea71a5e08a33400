"""The config keys of every renting provider, behind the prefix of its name: `LIUM_TTL`."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.config import formats
from pytest_wf.config.keys import CONSENT, TARGET, key
from pytest_wf.config.types import FLAG


@dataclass(frozen=True)
class RentalKeys:
    """Keys that renting reads; a provider derives its own table from this one."""

    target: str = key(
        formats.POD,
        "",
        "P20",
        "Work on this rented pod (id or name); comes before `OPS_DEFAULT_HOST`.",
        role=TARGET,
    )
    pod_name: str = key(formats.POD_NAME, "pytest-wf", "P10", "How the names of rented pods begin.")
    ttl: str = key(
        formats.TTL, "", "P10", "The rented pod ends by itself after this time.", example="6h"
    )
    yes: bool = key(
        FLAG,
        "0",
        "P10, P90",
        "Consent to what costs money or deletes, if there is no terminal to ask on.",
        role=CONSENT,
    )
    up_timeout_secs: int = key(formats.INTERVAL, "300", "P10", "Longest time for renting.")
    poll_secs: int = key(
        formats.INTERVAL, "2", "P10, P90", "Time between two listings of the account's pods."
    )
    listing_lag_secs: int = key(
        formats.SECONDS,
        "60",
        "P10, P90",
        "How long a pod that exists may be missing from the account's listing.",
    )
    delete_timeout_secs: int = key(
        formats.INTERVAL,
        "120",
        "P10, P90",
        "Longest time for deleting a pod and proving it; then its removal is scheduled.",
    )
