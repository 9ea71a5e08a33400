"""Pods that cost money, outside of a flow: rented, awaited, listed, bound, ended by name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_wf.config import dotenv
from pytest_wf.errors import OperationFailed, Unreachable
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.base import Provider, Rented, Renter
from pytest_wf.project.project import Project
from pytest_wf.wire.files import write_atomic

__all__ = [
    "await_link",
    "bind_config",
    "end_pod",
    "leave_alone",
    "left_by",
    "list_pods",
    "require_consent",
    "take_up",
    "tell_strays",
]

_LINE = re.compile(
    rb"""([ \t]*(?:export[ \t]+)?LIUM_TARGET[ \t]*=)"""
    rb"""((?:[ \t]*(?:"[^"]*"|'[^']*'|[^ \t\r\n#"']+))?)(.*)""",
    re.DOTALL,
)


def require_consent(project: Project, *, interactive: bool, to: str) -> None:
    """Raise OperationFailed('consent') where nobody could be asked and LIUM_YES does not say it."""
    config = project.config
    if not interactive and config.wf_require_noninteractive_safe and not config.lium_yes:
        raise OperationFailed(
            "consent",
            f"{to} needs consent, and there is no terminal to ask on.",
            "Set LIUM_YES=1 to consent in advance.",
        )


def await_link(
    session: PodSession, say: Callable[[str], None], *, reach: Callable[[], object] | None = None
) -> Result:
    """Wait until the pod answers, POD_WAIT_MAX_SECS at most; nothing is changed on it.

    A machine that nobody rented is up or it is not: for it there is no second try. Raises
    TransportError, OperationFailed.
    """
    deadline = time.monotonic() + session.config.pod_wait_max_secs
    began = time.monotonic()
    told = ""
    while True:
        try:
            (reach or (lambda: session.connection))()
            break
        except Unreachable as e:
            if not session.provider.can_rent or time.monotonic() > deadline:
                raise
            if e.message != told:
                say(f"waiting for {session.target.name}: {e.message}")
            told = e.message
            time.sleep(1)
    facts = {"waited_s": round(time.monotonic() - began, 1)}
    return Result("pod-wait", {**facts, "connection": session.connection_facts()})


def left_by(
    project: Project, providers: Sequence[Provider], flow_id: str, say: Callable[[str], None]
) -> tuple[Provider, Rented] | None:
    """The pod that this flow rented, or may have rented, and did not come to bind.

    Raises OperationFailed where that is unknown: a pod may then be billing.
    """
    if project.options.provision == "skip":
        return None
    for renter in _renters(providers):
        rented = renter.left_by(project.config, flow_id, say, str(project.root))
        if rented is not None:
            return renter, rented
    return None


def leave_alone(session: PodSession, *, is_untouched: bool = False) -> dict[str, object]:
    """Have a rented pod end by itself WF_IDLE_DELETE_SECS after the controller has gone.

    When it will, or why it will not: a sweep or task that runs is never cut off. Raises
    OperationFailed('provider') where it cannot be read back.
    """
    removal = session.idle_removal
    if not removal.is_enabled:
        return {"idle_removal": "not scheduled: the pod is not rented"}
    removal.stop()
    if is_untouched:
        removal.try_schedule(is_untouched=True)  # it may be that the pod is gone already
    else:
        removal.schedule()
    return removal.facts()


def take_up(session: PodSession) -> None:
    """Take back what an earlier flow has armed, where WF_IDLE_DELETE_SECS is off now."""
    if isinstance(session.provider, Renter) and not session.idle_removal.is_enabled:
        root = str(session.project.root)
        session.provider.end_when_idle(session.target, session.config, root, 0)


def list_pods(project: Project, providers: Sequence[Provider]) -> Result:
    """Every rented pod that carries the product's name, whose it is, and the volumes.

    Raises OperationFailed where a provider cannot be asked: an unknown pod is not an absent one.
    """
    pods: list[dict[str, Any]] = []
    volumes: list[dict[str, object]] = []
    for renter in _renters(providers):
        pods += _rows(renter, project)
        volumes += renter.volumes(project.config, str(project.root))
    return Result("pod-list", {"pods": pods, "volumes": volumes})


def tell_strays(
    project: Project, renter: Provider, say: Callable[[str], None]
) -> list[dict[str, Any]] | str:
    """Say which rented pods of this product nobody works on, and what they cost.

    Why it is unknown, where the provider cannot be asked: it halts nothing.
    """
    if not isinstance(renter, Renter):
        return []
    try:
        strays = [row for row in _rows(renter, project) if row["standing"] == "orphan"]
    except OperationFailed as e:
        say(f"whether there are orphans is unknown: {e.message}")
        return f"unknown: {e.message}"
    for row in strays:
        age = "?" if row["age_s"] is None else f"{row['age_s'] / 3600:.1f} h"
        cost = "?" if row["cost_usd"] is None else f"${row['cost_usd']:.2f}"
        say(
            f"orphan: {row['name']} ({row['id']}), {age} old, {cost} so far: {row['told']}; "
            f"end it with `wf pod-delete {row['id']}`"
        )
    return strays


def end_pod(
    project: Project,
    providers: Sequence[Provider],
    written: str,
    *,
    interactive: bool,
    force: bool,
) -> Result:
    """Delete the one pod that `written` means, and prove it. Raises OperationFailed."""
    require_consent(project, interactive=interactive, to=f"deleting pod {written}")
    renters = _renters(providers)
    if not renters:
        raise OperationFailed("no-provider", "no installed provider rents pods.")
    facts = renters[0].delete(written, project.config, str(project.root), force=force)
    return Result("pod-delete", facts)


def bind_config(path: Path, pod_id: str) -> None:
    """Write ``LIUM_TARGET=<pod_id>`` into a config; every other byte stays as it is.

    Raises OperationFailed where that line cannot be changed alone.
    """
    raw = path.read_bytes()
    reading = dotenv.read_entries(raw, str(path))
    before = reading.entries
    entry = before.get("LIUM_TARGET")
    if "LIUM_TARGET" in reading.broken:
        new = raw
    elif entry is None:
        end = b"" if raw.endswith(b"\n") or not raw else b"\n"
        new = raw + end + f"LIUM_TARGET={pod_id}\n".encode()
    else:
        lines = raw.splitlines(keepends=True)
        found = _LINE.fullmatch(lines[entry.line - 1])
        if found is None:
            lines = []
        else:
            gap = b" " if found[3].startswith(b"#") else b""
            lines[entry.line - 1] = found[1] + pod_id.encode() + gap + found[3]
        new = b"".join(lines)
    after = dotenv.read_entries(new, str(path)).entries
    others = {key: e.text for key, e in before.items() if key != "LIUM_TARGET"}
    same = {key: e.text for key, e in after.items() if key != "LIUM_TARGET"} == others
    if not same or "LIUM_TARGET" not in after or after["LIUM_TARGET"].text != pod_id:
        raise OperationFailed(
            "config",
            f"{path} was not changed: its line of LIUM_TARGET is not plain.",
            f"Write LIUM_TARGET={pod_id} into it by hand.",
        )
    write_atomic(str(path), new, path.stat().st_mode & 0o777)


def _rows(renter: Renter, project: Project) -> list[dict[str, Any]]:
    rows = []
    for pod in renter.list_pods(project.config, str(project.root)):
        age_s = _age_s(pod.rented_at)
        price = pod.usd_per_hour
        cost = None if age_s is None or price is None else round(age_s / 3600 * price, 4)
        row = {**asdict(pod), "provider": renter.name, "age_s": age_s, "cost_usd": cost}
        rows.append(row)
    return rows


def _renters(providers: Sequence[Provider]) -> list[Renter]:
    return [p for p in providers if p.can_rent and isinstance(p, Renter)]


def _age_s(when: str) -> float | None:
    from datetime import datetime, timezone

    try:
        then = datetime.fromisoformat(when.replace("Z", "+00:00"))
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return round((datetime.now(timezone.utc) - then).total_seconds(), 1)
