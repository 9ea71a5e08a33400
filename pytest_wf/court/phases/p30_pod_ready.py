"""P30 POD_READY: judged by the facts `connection` and `config_sync`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_wf.court.contract import Contract, states_from
from pytest_wf.court.core_phase import CorePhase, Postcondition
from pytest_wf.wire import fsm

if TYPE_CHECKING:
    from pytest_wf.court.case import Case

_SHA256 = re.compile(r"[0-9a-f]{64}")

_CONTRACT = Contract(
    "P30",
    "POD_READY",
    "the pod answers, is the right one, and has the config",
    ("pod-status",),
    preconditions=("the target is bound",),
    postconditions=("host key verified", "config synced", "state at least POD_READY"),
    artifacts=("remote-config",),
    states_before=frozenset(fsm.STATES),
    states_after=states_from(fsm.POD_READY),
)


def _postconditions(case: Case) -> list[Postcondition]:
    e = case.evidence
    connection = e.facts.get("connection")
    proofs = [
        value
        for key, value in (connection.items() if isinstance(connection, dict) else ())
        if value and ("host_key" in key or "fingerprint" in key)
    ]
    synced = e.facts.get("config_sync")
    digest = synced.get("sha256") if isinstance(synced, dict) else None
    here = [a.sha256 for a in e.artifacts if a.role == "remote-config"]
    return [
        Postcondition(
            "host-key-verified",
            proofs or _is_this_machine(connection),
            3,
            "the fingerprint of the host's key",
            connection,
            "Pin the key with SSH_HOST_FINGERPRINT or a known_hosts file.",
        ),
        Postcondition(
            "config-synced",
            isinstance(digest, str) and _SHA256.fullmatch(digest) and here == [digest],
            6,
            "the digest of the config on the pod, the same in facts and artifact",
            f"{digest}, {here}",
            "Run `wf config-sync`.",
        ),
    ]


def _is_this_machine(connection: object) -> bool:
    """Whether the pod was reached without a network, and so without a host key."""
    return isinstance(connection, dict) and connection.get("address") == "local"


PHASE = CorePhase(_CONTRACT, _postconditions)
