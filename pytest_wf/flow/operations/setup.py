"""What can be done to a pod: each function is one operation, with many doors.

A phase of the lifecycle and its `wf` command call the same function. Each one takes what
it works on, does one thing, and answers a `Result`; it raises `OperationFailed` (with a
kind of `wire.failures`) or `TransportError` where it could not.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf.config.reader import Config
from pytest_wf.court.constitution import LAWS, VERSION
from pytest_wf.errors import InputError, OperationFailed
from pytest_wf.flow.operations.checkout import checkout, operation_log
from pytest_wf.flow.operations.rented_pods import await_link, require_consent, take_up, tell_strays
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.notify import sender
from pytest_wf.pods.base import Provider, Target
from pytest_wf.project.expectations import asks_for_baseline
from pytest_wf.project.project import Project
from pytest_wf.wire import fsm, operations
from pytest_wf.wire.redact import MIN_SECRET_CHARS, Redactor

if TYPE_CHECKING:
    from pytest_wf.evidence.signing import SigningKey

__all__ = [
    "bind",
    "bootstrap",
    "checkout",
    "precheck",
    "provision",
    "ready",
    "redactor_of",
    "resolve",
    "secrets_of",
    "signing_key_of",
]

Say = Callable[[str], None]

#: Keys that the providers and the trainers' tools read from the environment: a failed
#: assertion on `os.environ` prints them, named in the config or not.
_WELL_KNOWN_SECRETS = (
    "LIUM_API_KEY",
    "WANDB_API_KEY",
    "HF_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
)
_MIN_FREE_BYTES = 64 * 1024 * 1024


def precheck(project: Project, *, interactive: bool, environ: Mapping[str, str]) -> Result:
    """P00: settle what can be settled without a pod.

    Config and CSV were validated before anything ran; here stands what can change from one
    moment to the next: consent, secrets in the environment, room on the local disk.
    """
    config = project.config
    if config.wf_constitution_version != VERSION:
        raise OperationFailed(
            "constitution-version",
            f"WF_CONSTITUTION_VERSION is {config.wf_constitution_version}; this release enforces "
            f"version {VERSION}.",
            f"Write WF_CONSTITUTION_VERSION={VERSION}, or install the release that fits.",
        )
    if config.lium_target and project.teardown == "delete":
        require_consent(project, interactive=interactive, to="deleting a rented pod")
    secrets_of(project, environ)
    key = signing_key_of(project)
    sender.require(config, environ)
    folder = _nearest_existing(project.root / config.wf_flow_evidence_dir)
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        raise OperationFailed(
            "local-disk",
            f"{folder} has {free // 2**20} MiB free; evidence needs at least "
            f"{_MIN_FREE_BYTES // 2**20} MiB.",
            "Make room, or point WF_FLOW_EVIDENCE_DIR elsewhere.",
        )
    # copies: the flow's folder proves itself also when the project has moved on
    artifacts = [ArtifactNote("config", "workflow.env", content=project.config_path.read_bytes())]
    if project.manifest is not None:
        artifacts.append(ArtifactNote("manifest-source", "sweep.csv", content=project.manifest.raw))
    facts: dict[str, Any] = {}
    if project.baseline is not None and compares_with_baseline(project):
        raw = project.baseline.raw
        artifacts.append(ArtifactNote("baseline", "baseline.json", content=raw))
        facts["baseline_sha256"] = project.baseline.sha256
    return Result(
        "precheck",
        {
            **facts,
            "config_sha256": project.config_raw_sha256,
            "override_enabled": project.override_enabled,
            "constitution_version": VERSION,
            "laws": sorted(LAWS),
            "interactive": interactive,
            "lium_yes": config.lium_yes,
            "rows": len(project.rows),
            "local_free_bytes": free,
            "signing_key": key.signer.key_id if key else None,
            "clock": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        artifacts=tuple(artifacts),
    )


def compares_with_baseline(project: Project) -> bool:
    """Whether rows may be compared with the baseline: those of a snapshot are not known yet."""
    is_snapshot = project.options.sweep == "skip"
    return is_snapshot or asks_for_baseline(project.config, project.rows)


def secrets_of(project: Project, environ: Mapping[str, str]) -> dict[str, str]:
    """The values of WF_SECRET_ENV, from the local environment; never written anywhere.

    Raises OperationFailed('config') for a name that is unset or too short to be masked.
    """
    found: dict[str, str] = {}
    for name in project.config.wf_secret_env:
        value = environ.get(name, "")
        if len(value) < MIN_SECRET_CHARS:
            state = "is not set" if not value else f"has fewer than {MIN_SECRET_CHARS} characters"
            raise OperationFailed(
                "config",
                f"WF_SECRET_ENV names {name}, which {state} in this environment.",
                f"Export {name}, or take it out of WF_SECRET_ENV.",
            )
        found[name] = value
    return found


def signing_key_of(project: Project) -> SigningKey | None:
    """The key of WF_SIGNING_KEY_FILE; None where none is named.

    Raises OperationFailed('config') for a key that cannot be used: nobody who asked for a
    signature gets a flow without one.
    """
    config = project.config
    if not config.wf_signing_key_file:
        return None
    from pytest_wf.evidence.signing import read_signing_key

    place = project.root / Path(config.wf_signing_key_file).expanduser()
    try:
        return read_signing_key(
            place, os.path.relpath(project.config_path), config.source("WF_SIGNING_KEY_FILE")
        )
    except InputError as e:
        raise OperationFailed("config", e.message) from None


def redactor_of(config: Config, environ: Mapping[str, str]) -> Redactor:
    """What masks the values of WF_SECRET_ENV, the URLs of WF_NOTIFY, and the keys that tools
    here are known to read."""
    names = (*config.wf_secret_env, *_WELL_KNOWN_SECRETS)
    urls = sender.urls_of(config, environ).values()
    values = [environ.get(name, "") for name in names]
    return Redactor([*values, *(part for text in urls for part in sender.secrets_in(text))])


def resolve(project: Project, providers: Sequence[Provider]) -> tuple[Provider, Target] | None:
    """The target that the config names, with the provider that it belongs to. No contact."""
    for provider in providers:
        target = provider.resolve(project.config)
        if target is not None:
            return provider, target
    return None


def provision(
    project: Project,
    providers: Sequence[Provider],
    *,
    flow_id: str,
    interactive: bool,
    say: Say,
) -> Result:
    """P10: rent a pod, unless the config names a target or the flow was told not to."""
    config = project.config
    if project.options.provision == "skip":
        return Result("provision", skipped="--wf-provision=skip")
    named = config.lium_target or config.ops_default_host
    renters = [p for p in providers if p.can_rent]
    if named:
        facts: dict[str, Any] = {}
        if config.lium_target and renters:
            facts["orphans"] = tell_strays(project, renters[0], say)
        return Result("provision", facts, skipped=f"the config names a target: {named}")
    if not renters:
        raise OperationFailed(
            "no-provider",
            "neither LIUM_TARGET nor OPS_DEFAULT_HOST is set, and no installed provider can rent "
            "a pod.",
            "Set OPS_DEFAULT_HOST to an ssh alias, to user@host:port, or to `local`.",
        )
    require_consent(project, interactive=interactive, to="renting a pod, which costs money,")
    rental = renters[0].rent(config, flow_id, say, str(project.root))
    facts = {
        **rental.facts,
        "orphans": tell_strays(project, renters[0], say),
        "provider": renters[0].name,
        "rented": rental.target.name,
        "is_new": rental.is_new,
        "usd_per_hour": rental.usd_per_hour,
        "rented_at": rental.rented_at,
    }
    return Result("provision", facts, target=rental.target)


def bind(
    project: Project, providers: Sequence[Provider], rented: Target | None
) -> tuple[Result, Provider, Target]:
    """P20: resolve the one target of the flow."""
    config = project.config
    found = resolve(project, providers)
    if found is None and rented is not None:
        by_name = {p.name: p for p in providers}
        found = by_name[rented.transport], rented
    if found is None:
        if config.lium_target:
            raise OperationFailed(
                "no-provider",
                f'LIUM_TARGET="{config.lium_target}" needs a provider for Lium pods, and none is '
                "installed.",
                "Empty LIUM_TARGET and set OPS_DEFAULT_HOST, or install the provider.",
            )
        raise OperationFailed(
            "no-target",
            "there is no target: the config names none, and no pod was rented.",
            "Set OPS_DEFAULT_HOST to an ssh alias, to user@host:port, or to `local`.",
        )
    provider, target = found
    facts = {
        "transport": target.transport,
        "name": target.name,
        "address": target.address,
        "source": target.source,
    }
    return Result("bind", facts, target=target), provider, target


def ready(session: PodSession, *, say: Say) -> Result:
    """P30: the pod answers, is a Linux machine, is ours for now, and has the config."""
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
    take_up(session)
    synced = session.request(operations.CONFIG_SYNC)
    answer = session.request(operations.READY, {"flow_id": session.flow_id})
    facts = {
        "probe": probe,
        "connection": session.connection_facts(),
        "agent": dict(session.host),
        "config_sync": synced,
        "state_before": before["state"],
        "state": answer.get("state"),
    }
    if session.deadman.is_meant:
        facts.update(session.deadman.facts())
    remote = ArtifactNote("remote-config", synced["path"], "pod", synced["sha256"])
    return Result("pod-status", facts, artifacts=(remote,))


def bootstrap(session: PodSession, *, verify: bool = False, show: Say | None = None) -> Result:
    """P40: prerequisites and helper scripts; with `verify` nothing is changed."""
    session.hold_lease()
    if verify:
        _refuse_to_resume_nothing(session)
    facts = session.request_to_its_end(operations.BOOTSTRAP, {"verify": verify}, show)
    return Result("bootstrap", facts, artifacts=operation_log(session, "bootstrap-log", facts))


def _refuse_to_resume_nothing(session: PodSession) -> None:
    try:
        fsm.check("sweep-resume", str(session.state()["state"]))
    except fsm.IllegalTransition as e:
        raise OperationFailed("illegal-state", str(e)) from None


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise OperationFailed(
            "local-disk",
            f"{folder} cannot be written to.",
            "Point WF_FLOW_EVIDENCE_DIR and --wf-reports to a folder of your own.",
        )
    return folder
