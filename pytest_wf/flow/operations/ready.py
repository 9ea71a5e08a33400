"""P30: the pod answers, is a Linux machine, and has the config."""

from __future__ import annotations

from collections.abc import Callable

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.rented_pods import await_link, cancel_idle_removal
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations


def ready(session: PodSession, *, say: Callable[[str], None]) -> Result:
    """Wait until the pod answers, take its lease, and put the config on it.

    Raises OperationFailed('not-a-pod') for anything but Linux, and ('lease-held').
    """
    await_link(session, say, reach=lambda: session.client)
    probe = session.request(operations.PROBE, timeout_s=120)
    if str(probe.get("os", "")).lower() != "linux":
        raise OperationFailed(
            "not-a-pod",
            f"{session.target.name} runs {probe.get('os')!r}; a pod is a Linux machine.",
            "Point OPS_DEFAULT_HOST at a Linux host.",
        )
    before = session.state()
    session.hold_lease()
    cancel_idle_removal(session)
    synced = session.request(operations.CONFIG_SYNC)
    answer = session.request(operations.READY, {"flow_id": session.flow_id})
    facts = {
        "probe": probe,
        "connection": session.connection_facts(),
        "agent": dict(session.host),
        "config_sync": synced,
        "state_before": before["state"],
        "state": answer.get("state"),
        **session.idle_removal.facts(),
    }
    remote = ArtifactNote("remote-config", synced["path"], "pod", synced["sha256"])
    return Result("pod-status", facts, artifacts=(remote,))
