"""Checks on this machine: consent, secrets, keys, disk, clock, programs, access to a pod."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_wf.config.formats import ttl_s
from pytest_wf.config.keys import Config, prefix_of
from pytest_wf.flow.consent import require_consent
from pytest_wf.flow.readiness.finding import Finding, ReadinessCheck, ok, problem, warning
from pytest_wf.flow.secrets import secrets_of, signing_key_of
from pytest_wf.notify import sender
from pytest_wf.pods.base import Provider
from pytest_wf.project.project import Project
from pytest_wf.wire import user

MIN_FREE_BYTES = 64 * 1024 * 1024
MIN_FREE_INODES = 1000
#: If a file's time is this far in the future, this machine's clock is behind.
_CLOCK_TOLERANCE_S = 3600


@dataclass(frozen=True)
class Controller:
    """This machine, with the project and the providers of pods."""

    project: Project
    providers: Sequence[Provider]
    interactive: bool
    environ: Mapping[str, str]

    @property
    def configs(self) -> Sequence[Config]:
        """The config of each pod."""
        return self.project.member_configs or (self.project.config,)

    @property
    def provider(self) -> Provider | None:
        """The provider of the flow's pods, or None. Raises InputError for an invalid target."""
        for provider in self.providers:
            if provider.name == self.project.renter:
                return provider
            if provider.resolve(self.configs[0]) is not None:
                return provider
        return None


def _consent(here: Controller) -> Iterator[Finding]:
    project = here.project
    if not project.rented_from:
        return
    if project.renter:
        to = "renting a pod, which costs money,"
        require_consent(project, interactive=here.interactive, to=to)
    if project.teardown == "delete":
        require_consent(project, interactive=here.interactive, to="deleting a rented pod")
    yield ok("given, or asked for on this terminal" if here.interactive else "given")


def _secrets(here: Controller) -> Iterator[Finding]:
    names = sorted(secrets_of(here.project, here.environ))
    if names:
        yield ok(f"set: {' '.join(names)}")


def _signing_key(here: Controller) -> Iterator[Finding]:
    key = signing_key_of(here.project)
    if key is not None:
        yield ok(key.signer.key_id)


def _notify(here: Controller) -> Iterator[Finding]:
    config = here.project.config
    sender.require(config, here.environ)
    if config.wf_notify:
        yield ok(f"usable: {' '.join(config.wf_notify)}")


def _auditor(here: Controller) -> Iterator[Finding]:
    command = here.project.config.wf_subagent_validator_cmd
    program = shlex.split(command)[0]
    inside = here.project.root / program
    found = program == "python" or ("/" in program and os.access(inside, os.X_OK))
    if found or shutil.which(program):
        yield ok(command)
    else:
        yield problem(
            f"WF_SUBAGENT_VALIDATOR_CMD: {program} is not found or cannot be executed.",
            "Correct its path, or leave the key out for the default auditor.",
        )


def _disk(here: Controller) -> Iterator[Finding]:
    """Evidence, the checklist and, if results are fetched, results can be written."""
    project, config = here.project, here.project.config
    places = {
        "WF_FLOW_EVIDENCE_DIR": (config.wf_flow_evidence_dir, True),
        "WF_CHECKLIST_PATH": (os.path.dirname(config.wf_checklist_path) or ".", True),
        "--wf-reports": (str(project.options.reports), True),
        "LOCAL_ARTIFACTS_DIR": (config.local_artifacts_dir, project.options.fetch != "none"),
    }
    fine = True
    for key, (path, is_needed) in places.items():
        folder = nearest_existing(project.root / user.expanded(path))
        trouble = _trouble(folder)
        if trouble:
            fine = False
            text, remedy = f"{folder} {trouble}.", f"Correct that, or point {key} elsewhere."
            yield problem(text, remedy, "local-disk") if is_needed else warning(text, remedy)
    if fine:
        yield ok(f"{shutil.disk_usage(project.root).free >> 20} MiB free at {project.root}")


def _trouble(folder: Path) -> str:
    """Why no files can be written below `folder`; '' if they can."""
    if not folder.is_dir():
        return "is not a directory"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "cannot be written to"
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < MIN_FREE_BYTES:
        return f"has {free >> 20} MiB free; at least {MIN_FREE_BYTES >> 20} MiB are needed"
    if space.f_files and space.f_favail < MIN_FREE_INODES:
        return f"has room for {space.f_favail} more files; at least {MIN_FREE_INODES} are needed"
    return ""


def nearest_existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _clock(here: Controller) -> Iterator[Finding]:
    ahead_s = here.project.config_path.stat().st_mtime - time.time()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if ahead_s > _CLOCK_TOLERANCE_S:
        yield warning(
            f"it is {now} here, and {here.project.config_path.name} was last changed "
            f"{ahead_s / 3600:.1f} h later.",
            "Set this machine's clock: evidence and time limits use it.",
        )
    else:
        yield ok(now)


def _programs(here: Controller) -> Iterator[Finding]:
    config = here.project.config
    needed = []
    if config.repo_url == "." or config.checkout_via == "bundle":
        needed.append("git")
        if config.repo_url != "." and not config.repo_url.startswith(("http", "file:", "/")):
            needed.append("ssh")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        yield problem(
            f"this machine has no {' and no '.join(missing)}, which packs the repository here.",
            "Install it, or have the pod clone: an address in REPO_URL, and CHECKOUT_VIA=pod.",
        )
    elif needed:
        yield ok(" ".join(needed))


def _gpu_request(here: Controller) -> Iterator[Finding]:
    """Rows need no more GPUs than CUDA_VISIBLE_DEVICES names, or than P10 rents."""
    project, config = here.project, here.project.config
    named = len([name for name in config.cuda_visible_devices.split(",") if name])
    if named:
        yield from gpu_findings(project, named, f"CUDA_VISIBLE_DEVICES names {named} GPUs")
    provider = here.provider if project.renter else None
    rented = provider.gpus_to_rent(config) if provider is not None else None
    if rented is not None:
        yield from gpu_findings(project, rented, f"P10 rents {rented} GPUs")


def gpu_findings(project: Project, have: int, source: str) -> Iterator[Finding]:
    """Whether `have` GPUs, the number in `source`, are enough for every row and its processes."""
    config = project.config
    short = [row.run_id for row in project.rows if (row.gpus or config.gpus_per_run or 0) > have]
    if short:
        shown = ", ".join(short[:5]) + (f" and {len(short) - 5} more" if len(short) > 5 else "")
        yield problem(
            f"{source}; more are asked for by the column gpus or GPUS_PER_RUN for {shown}.",
            "Ask for fewer, or get a pod with more GPUs.",
        )
    ranks = config.nproc_per_node or 0
    if config.require_gpu_torch and ranks > have:
        yield problem(
            f"{source}, and NPROC_PER_NODE is {ranks}.",
            "Lower NPROC_PER_NODE, or leave it empty for one process per GPU.",
        )
    elif not short:
        yield ok(source)


def _places(here: Controller) -> Iterator[Finding]:
    """No row's results would be written where something else is."""
    config = here.project.config
    outputs = config.ops_remote_outputs_dir
    taken = {
        os.path.normpath(config.values[key]): key
        for key in ("DATA_DIR", "HF_HOME", "REMOTE_ENV_PATH")
        if config.values.get(key)
    }
    for row in here.project.rows:
        key = taken.get(os.path.normpath(f"{outputs}/{row.run_id}"))
        if key:
            yield problem(
                f"the results of row {row.run_id} (line {row.line}) would go where {key} is, "
                f"{outputs}/{row.run_id}.",
                f"Rename the row, or set {key} to a folder outside OPS_REMOTE_OUTPUTS_DIR.",
            )


def _time_limits(here: Controller) -> Iterator[Finding]:
    """A time limit that expires before another one that is waited for."""
    project, config = here.project, here.project.config
    limit = config.wf_phase_timeout_secs
    if limit and project.rented_from and limit < config.pod_wait_max_secs:
        yield warning(
            f"WF_PHASE_TIMEOUT_SECS ({limit}) ends P30 before POD_WAIT_MAX_SECS "
            f"({config.pod_wait_max_secs}) has passed.",
            "Raise the one, or lower the other.",
        )
    ttl = str(config.provided.get(f"{prefix_of(project.rented_from)}TTL") or "")
    longest = max((row.timeout_s or config.run_timeout_secs for row in project.rows), default=0)
    if project.renter and ttl and longest > ttl_s(ttl):
        yield warning(
            f"the pod ends {ttl} after it was rented, and a row may take {longest} s.",
            f"Raise {prefix_of(project.rented_from)}TTL, or lower RUN_TIMEOUT_SECS.",
        )


def _access(here: Controller) -> Iterator[Finding]:
    """How each pod is reached, as far as is known without a contact."""
    provider = here.provider
    if provider is None:
        return
    root = str(here.project.root)
    found = [error for config in here.configs for error in provider.problems(config, root)]
    wrong = dict.fromkeys((error.message, error.remedy) for error in found)
    for message, remedy in wrong:
        yield problem(message, remedy)
    if not wrong:
        yield ok(provider.name)


LOCAL_CHECKS: tuple[ReadinessCheck[Controller], ...] = (
    ReadinessCheck(
        "consent",
        "renting, and deleting a rented pod, are consented to, or there is a terminal to ask on",
        _consent,
    ),
    ReadinessCheck("secrets", "each variable of `WF_SECRET_ENV` is set", _secrets),
    ReadinessCheck("signing-key", "`WF_SIGNING_KEY_FILE` can be used", _signing_key),
    ReadinessCheck("notify", "each variable of `WF_NOTIFY` holds a usable URL", _notify),
    ReadinessCheck("auditor", "the program of `WF_SUBAGENT_VALIDATOR_CMD` is found", _auditor),
    ReadinessCheck(
        "local-disk",
        "evidence, checklist, reports and results can be written, with 64 MiB and 1,000 files "
        "to spare",
        _disk,
    ),
    ReadinessCheck("clock", "the config was not changed in the future (a warning)", _clock),
    ReadinessCheck("programs", "git, and ssh where git needs it, are on this machine", _programs),
    ReadinessCheck(
        "gpu-request",
        "no row and no process count asks for more GPUs than `CUDA_VISIBLE_DEVICES` names, or P10 "
        "rents",
        _gpu_request,
    ),
    ReadinessCheck(
        "places",
        "no row is called like a folder of the config in `OPS_REMOTE_OUTPUTS_DIR`",
        _places,
    ),
    ReadinessCheck(
        "time-limits", "no time limit ends before what it has to wait for (a warning)", _time_limits
    ),
    ReadinessCheck(
        "access",
        "the pod can be asked for: ssh config and key, or the provider's package, API key and "
        "public key",
        _access,
    ),
)
