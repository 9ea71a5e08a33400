"""P30: the pod answers, is a Linux machine, and has the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_wf.errors import OperationFailed
from pytest_wf.fetch.announced_files import hostile
from pytest_wf.flow.operations.rented_pods import await_link, cancel_idle_removal
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import operations
from pytest_wf.wire.rows import Malformed, listed


def ready(session: PodSession, *, say: Callable[[str], None]) -> Result:
    """Wait until the pod answers, take its lease, and put the config on it.

    Raises OperationFailed('not-a-pod') for anything but Linux, and ('lease-held').
    """
    await_link(session, say, reach=lambda: session.client)
    system = session.client.hello.get("os")
    if system != "Linux":
        raise OperationFailed(
            "not-a-pod",
            f"{session.target.name} runs {system!r}; a pod is a Linux machine.",
            "Point OPS_DEFAULT_HOST at a Linux host.",
        )
    session.hold_lease()
    cancel_idle_removal(session)
    # a start or a resume compares them with the project's commit, if the two share a repository
    compares = session.config.repo_url == "." and session.project.options.sweep != "skip"
    args = {"flow_id": session.flow_id, "commits": compares}
    answer = session.request(operations.READY, args, timeout_s=120)
    session.trained_commits = _trained_commits(answer)
    synced = {"path": answer["config_path"], "sha256": answer["config_sha256"]}
    facts = {
        "probe": answer["probe"],
        "connection": session.connection_facts(),
        "agent": dict(session.host),
        "config_sync": synced,
        "state_before": session.states.before,
        "state": answer.get("state"),
        **session.idle_removal.facts(),
    }
    remote = ArtifactNote("remote-config", synced["path"], "pod", synced["sha256"])
    return Result("pod-status", facts, artifacts=(remote,))


def _trained_commits(answer: Mapping[str, Any]) -> frozenset[str] | None:
    if answer.get("trained_commits") is None:
        return None
    try:
        return frozenset(listed(answer, "trained_commits", str))
    except Malformed as e:
        raise hostile(f"its runs: {e}") from None
