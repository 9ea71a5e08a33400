"""Which provider rents, and the config keys of all registered providers.

To add a provider, implement `pods.base.Provider`, or derive from `RentalProvider` of
`pods.rental.provider` to rent, and register it by the hook `pytest_wf_providers` of `hookspecs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_wf.config.keys import KEYS, Config, Key, keys_of
from pytest_wf.config.types import canonical
from pytest_wf.errors import InputError, Problem
from pytest_wf.pods.base import Provider, Renter, is_renter


def all_keys(providers: Sequence[Provider]) -> tuple[Key, ...]:
    """The keys of the core and those of `providers`.

    Raises InputError if two providers share a name, or a key exists already.
    """
    found = {key.name: key for key in KEYS}
    problems: list[Problem] = []
    named: set[str] = set()
    for provider in providers:
        if provider.name in named or not re.fullmatch(r"[a-z][a-z0-9_]*", provider.name):
            reason = "its name is taken, or is not a lower-case word of letters, digits and '_'."
            problems.append(_mistake(provider, reason))
        named.add(provider.name)
        keys = keys_of(provider.keys, provider.name) if provider.keys else ()
        taken = [key.name for key in keys if found.setdefault(key.name, key) is not key]
        problems += [_mistake(provider, f"its key {name} exists already.") for name in taken]
    if problems:
        raise InputError(problems)
    return tuple(found.values())


def renters_in_use(config: Config, providers: Sequence[Provider]) -> list[Renter]:
    """The renters that a config means: WF_PROVIDER, else those whose keys it sets, else all."""
    renters: list[Renter] = [p for p in providers if is_renter(p)]
    if config.wf_provider:
        return [r for r in renters if r.name == config.wf_provider]
    return [r for r in renters if _is_configured(config, r)] or renters


def find_renter(config: Config, providers: Sequence[Provider], origin: str) -> Renter | None:
    """The one provider that rents for this config; None if none is installed.

    Raises InputError if several could be meant, or WF_PROVIDER names none.
    """
    found = renters_in_use(config, providers)
    if len(found) == 1 or not (found or config.wf_provider):
        return found[0] if found else None
    names = ", ".join(p.name for p in providers if p.can_rent) or "none"
    reason = "several providers could rent." if found else "no provider of that name rents pods."
    raise InputError(
        [
            Problem(
                origin,
                config.source("WF_PROVIDER"),
                "WF_PROVIDER",
                config.wf_provider or None,
                reason,
                f"Set it to one of these: {names}.",
            )
        ]
    )


def _is_configured(config: Config, provider: Provider) -> bool:
    keys = [key for key in config.table if key.provider == provider.name]
    return any(k.name in config.lines and canonical(config.provided[k.name]) for k in keys)


def _mistake(provider: Provider, reason: str) -> Problem:
    where = f"{type(provider).__module__}.{type(provider).__qualname__}"
    return Problem(f"provider {provider.name!r}", None, "", None, reason, f"Change {where}.")
