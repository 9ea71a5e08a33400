"""Rented pods: waiting for them, listings, orphans, deletion by name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_wf.config import dotenv
from pytest_wf.config.keys import TARGET
from pytest_wf.errors import OperationFailed, TransportError, Unreachable
from pytest_wf.flow.consent import require_consent
from pytest_wf.flow.operations import unfetched
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.awake_clock import awake_s
from pytest_wf.pods.base import Pod, Provider, Rented, Renter, Target, is_renter, pick_pod
from pytest_wf.pods.provider_choice import find_renter, renters_in_use
from pytest_wf.pods.rental.journal import Journal
from pytest_wf.pods.rental.journal import age_s as age_of
from pytest_wf.project.project import Project
from pytest_wf.wire.files import write_atomic

_LINE = (
    rb"""([ \t]*(?:export[ \t]+)?%s[ \t]*=)((?:[ \t]*(?:"[^"]*"|'[^']*'|[^ \t\r\n#"']+))?)(.*)"""
)


def renter_of(project: Project, providers: Sequence[Provider]) -> Renter | None:
    """The renter of this flow's pod; None for a machine that is not rented."""
    return next((p for p in providers if p.name == project.rented_from and is_renter(p)), None)


def await_link(
    session: PodSession, say: Callable[[str], None], *, reach: Callable[[], object] | None = None
) -> Result:
    """Wait until the pod answers, as long as patience lasts; changes nothing on it.

    A machine that is not rented is tried once. Raises TransportError, OperationFailed.
    """
    began = time.monotonic()
    said = ""
    while True:
        tried = awake_s()
        try:
            (reach or (lambda: session.connection))()
            session.patience.answered()
            break
        except Unreachable as e:
            session.patience.silent(e.message, awake_s() - tried)
            if not session.provider.can_rent:
                raise
            if e.message != said:
                say(f"waiting for {session.target.name}: {e.message}")
            said = e.message
            time.sleep(1)
            if session.patience.is_over:
                raise
    facts = {"waited_s": round(time.monotonic() - began, 1)}
    return Result("pod-wait", {**facts, "connection": session.connection_facts()})


def find_unbound(
    project: Project, providers: Sequence[Provider], flow_id: str, say: Callable[[str], None]
) -> tuple[Provider, Rented] | None:
    """The pod that this flow rented, or may have rented, and did not bind.

    Raises OperationFailed if that is unknown: a pod may then be billing.
    """
    renter = renter_of(project, providers)
    if project.options.provision == "skip" or renter is None:
        return None
    rented = renter.find_unbound(project.config, flow_id, say, str(project.root))
    return None if rented is None else (renter, rented)


def find_unbound_pods(
    project: Project,
    providers: Sequence[Provider],
    flow_id: str,
    say: Callable[[str], None],
    bound: Collection[str],
) -> tuple[Provider | None, Sequence[Rented | OperationFailed]]:
    """The same for a flow on several pods; an error stands for a pod that may be billing."""
    renter = renter_of(project, providers)
    if project.options.provision == "skip" or renter is None:
        return None, ()
    root = str(project.root)
    return renter, renter.find_unbound_pods(project.config, flow_id, say, root, bound)


def schedule_idle_removal(session: PodSession, *, is_untouched: bool = False) -> dict[str, object]:
    """Make a rented pod end by itself WF_IDLE_DELETE_SECS after the controller has gone.

    Facts: when it will, or why it will not. A sweep or task that runs is never cut off. For a lost
    pod, the last schedule stays. Raises OperationFailed('provider') if it cannot be
    read back.
    """
    removal = session.idle_removal
    if not removal.is_enabled:
        return {"idle_removal": "not scheduled: the pod is not rented"}
    removal.stop()
    if is_untouched:
        removal.try_schedule(is_untouched=True)  # the pod may be gone already
        return removal.facts()
    try:
        removal.schedule()
    except TransportError:
        lost = session.patience.lost
        if not lost:
            raise
        # the last schedule allows for what was launched
        return {**removal.facts(), "idle_error": f"not postponed: {lost}"}
    return removal.facts()


def cancel_idle_removal(session: PodSession) -> None:
    """Cancel the removal that an earlier flow scheduled, if WF_IDLE_DELETE_SECS is now off."""
    if is_renter(session.provider) and not session.idle_removal.is_enabled:
        root = str(session.project.root)
        session.provider.schedule_removal(session.target, session.config, root, 0)


def list_pods(project: Project, providers: Sequence[Provider]) -> Result:
    """Every rented pod with the product's name, its owner, and the volumes.

    A provider whose keys are no longer set is asked, too, while it has an open rental. Raises
    OperationFailed if a provider cannot be asked: an unknown pod is not an absent one.
    """
    pods: list[dict[str, Any]] = []
    volumes: list[Mapping[str, Any]] = []
    in_use = renters_in_use(project.config, providers)
    renters = [p for p in providers if is_renter(p) and (p in in_use or _has_rentals(p, project))]
    for renter in renters:
        pods += _rows(renter, project)
        volumes += renter.volumes(project.config, str(project.root))
    return Result("pod-list", {"pods": pods, "volumes": volumes})


def report_orphans(
    project: Project, renter: Renter, say: Callable[[str], None]
) -> list[dict[str, Any]] | str:
    """Print which rented pods of this product are not in use, and their cost.

    If the provider cannot be asked, print why it is unknown; this halts nothing.
    """
    try:
        strays = [row for row in _rows(renter, project) if row["standing"] == "orphan"]
    except OperationFailed as e:
        say(f"whether there are orphans is unknown: {e.message}")
        return f"unknown: {e.message}"
    for row in strays:
        age = "?" if row["age_s"] is None else f"{row['age_s'] / 3600:.1f} h"
        cost = "?" if row["cost_usd"] is None else f"${row['cost_usd']:.2f}"
        say(
            f"orphan: {row['name']} ({row['id']}), {age} old, {cost} so far: {row['reason']}; "
            f"end it with `wf pod-delete {row['id']}`"
        )
    return strays


def delete_pod(
    project: Project,
    providers: Sequence[Provider],
    written: str,
    *,
    interactive: bool,
    force: bool,
) -> Result:
    """Delete the one pod with the id, name or huid `written`, and prove it.

    Raises OperationFailed; also if a process works with the pod, unless `force`, and if
    results may be on it that are not here, unless WF_DELETE_UNFETCHED=1.
    """
    config, root = project.config, str(project.root)
    renter = find_renter(config, providers, os.path.relpath(project.config_path, root))
    if renter is None:
        raise OperationFailed("no-provider", "no installed provider rents pods.")
    require_consent(
        project, interactive=interactive, to=f"deleting pod {written}", provider=renter.name
    )
    pod = pick_pod(renter.list_pods(config, root), written)
    if pod is None:
        raise OperationFailed(
            "no-target",
            f"{renter.name} has no pod of this product called {written!r}.",
            "Look at `wf pod-list`; delete any other pod with the provider's own tools. Where "
            "another provider rented it, name that one in WF_PROVIDER.",
        )
    if not pod.id:
        raise OperationFailed(
            "provider",
            f"whether the pod {pod.name} exists is unknown: its rent got no answer, and it is not "
            "listed. Nothing was deleted.",
            "It may be billing: look again in a minute with `wf pod-list`.",
        )
    if pod.standing == "held" and not force:
        raise OperationFailed(
            "lease-held",
            f"{pod.name} ({pod.id}) is in use: {pod.reason}.",
            "Wait for its end, or use --force.",
        )
    if not config.wf_delete_unfetched:
        _refuse_unfetched(project, renter, pod)
    return Result("pod-delete", renter.delete(Target(renter.name, pod.id), config, root))


def _refuse_unfetched(project: Project, renter: Renter, pod: Pod) -> None:
    """Raise OperationFailed('unfetched') if results of this project on `pod` are not here.

    There are none on a pod that this project did not rent, or never connected to.
    """
    rentals = Journal(project.root, renter.name).rentals()
    if not any(rental.pod_id == pod.id and rental.host_key for rental in rentals):
        return
    target = Target(renter.name, pod.id)
    session = PodSession(project, renter, target, flow_id="", write_nothing=True)
    try:
        unfetched.refuse(pod.name, unfetched.losses(session))
    except (TransportError, OperationFailed) as e:
        if isinstance(e, OperationFailed) and e.kind == "unfetched":
            raise
        raise OperationFailed(
            "unfetched",
            f"whether results are on {pod.name} ({pod.id}) is unknown: {e.message}",
            "Nothing was deleted. Set WF_DELETE_UNFETCHED=1 to lose everything on it.",
        ) from None
    finally:
        session.close()


def binding_key(project: Project, providers: Sequence[Provider]) -> str:
    """The config key that binds the pod that P10 would rent; '' if it would rent none.

    Raises OperationFailed('config') if the provider has no such key.
    """
    renter = None if project.config.target else renter_of(project, providers)
    if renter is None:
        return ""
    key = project.config.key_of(renter.name, TARGET)
    if key is None:
        raise OperationFailed(
            "config",
            f"the provider {renter.name} has no config key that names a pod. Nothing was rented.",
            "Leave out --bind, or declare a key with role=TARGET in the provider's keys.",
        )
    return key.name


def bind_config(path: Path, key: str, pod_id: str) -> None:
    """Write ``<key>=<pod_id>`` into a config; all other bytes are unchanged.

    Raises OperationFailed if that line cannot be changed alone.
    """
    raw = path.read_bytes()
    reading = dotenv.read_entries(raw, str(path))
    before = reading.entries
    entry = before.get(key)
    if key in reading.broken:
        new = raw
    elif entry is None:
        end = b"" if raw.endswith(b"\n") or not raw else b"\n"
        new = raw + end + f"{key}={pod_id}\n".encode()
    else:
        lines = raw.splitlines(keepends=True)
        line = re.compile(_LINE % key.encode(), re.DOTALL)
        found = line.fullmatch(lines[entry.line - 1])
        if found is None:
            lines = []
        else:
            gap = b" " if found[3].startswith(b"#") else b""
            lines[entry.line - 1] = found[1] + pod_id.encode() + gap + found[3]
        new = b"".join(lines)
    after = dotenv.read_entries(new, str(path)).entries
    others = {name: e.text for name, e in before.items() if name != key}
    same = {name: e.text for name, e in after.items() if name != key} == others
    if not same or key not in after or after[key].text != pod_id:
        raise OperationFailed(
            "config",
            f"{path} was not changed: its line of {key} is not plain.",
            f"Write {key}={pod_id} into it by hand.",
        )
    write_atomic(str(path), new, path.stat().st_mode & 0o777)


def _rows(renter: Renter, project: Project) -> list[dict[str, Any]]:
    rows = []
    for pod in renter.list_pods(project.config, str(project.root)):
        age = age_of(pod.rented_at)
        age_s = None if age is None else round(age, 1)
        price = pod.usd_per_hour
        cost = None if age_s is None or price is None else round(age_s / 3600 * price, 4)
        row = {**asdict(pod), "provider": renter.name, "age_s": age_s, "cost_usd": cost}
        rows.append(row)
    return rows


def _has_rentals(renter: Renter, project: Project) -> bool:
    """Whether a pod may exist that this project rented from it."""
    return any(rental.is_open for rental in Journal(project.root, renter.name).rentals())
