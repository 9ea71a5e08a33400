"""P40: install what a training needs, and run the helper scripts."""

import os
import re
import shutil
from typing import Dict, List, Tuple

from pytest_wf.agent.control import created_paths, journal, lease, state
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import trackers
from pytest_wf.agent.setup import probe
from pytest_wf.agent.setup.logged_step import BASH, StepLog, exported, run_step
from pytest_wf.agent.setup.prerequisites import (
    Need,
    lacking_packages,
    may_install,
    missing_prerequisites,
    refusal_of_apt,
    remedy,
    why_no_apt,
)
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal

_APT_TIMEOUT_S = 900.0
_SCRIPT_TIMEOUT_S = 3600
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+:~-]+)?")


def bootstrap(session: Session, args: Args) -> Result:
    """Make the pod ready for a checkout; with ``verify`` only check whether it is."""
    settings = session.settings
    verify = args.get("verify") is True
    log = StepLog(os.path.join(journal.folder(settings, session.request_id), "log"))
    if not verify:
        state.require(settings, "bootstrap")
        _make_places(settings)
    installed: List[str] = []
    warnings: List[str] = []
    missing = missing_prerequisites(settings)
    if not verify and may_install(settings):
        installed, warnings = _install(settings, missing, log)
    # without bash no script runs, and that is what is said
    runs_scripts = not verify and shutil.which(BASH[0]) is not None
    scripts = _run_scripts(settings, log, warnings) if runs_scripts else []
    if installed or warnings or scripts:
        missing = missing_prerequisites(settings)
    required = [need for need in missing if need.required]
    if required:
        names = [need.name for need in required]
        raise Refusal(
            "prerequisites",
            "missing on the pod: %s" % ", ".join(names),
            remedy(settings, required, installs=not verify),
            {"missing": names},
        )
    gpus = probe.gpus()
    if not verify:
        # when a campaign is resumed, its own rows may use GPUs
        warnings += [*probe.busy_gpus(gpus), *_without_wandb_login(settings)]
        lease.fence(settings, session.token)
        state.move(settings, "bootstrap", fsm.BOOTSTRAPPED, "prerequisites are present")
    return {
        "verified_only": verify,
        "installed": installed,
        "missing": [],
        "missing_optional": [need.name for need in missing],
        "warnings": warnings,
        "scripts": scripts,
        "tools": probe.tools(),
        "gpus": gpus,
        "log_op_id": session.request_id,
    }


def _without_wandb_login(settings: Settings) -> List[str]:
    """A warning if W&B is requested and will get nothing."""
    secrets = settings.get("WF_SECRET_ENV", "").split()
    environ = {**os.environ, **dict.fromkeys(secrets, "given at the start")}
    if not settings.flag("SWEEP_WANDB") or not trackers.is_kept_offline(environ):
        return []
    return [
        "SWEEP_WANDB=1, and the pod has no W&B login: runs are kept offline. Name WANDB_API_KEY in "
        "WF_SECRET_ENV, or upload the fetched runs with `wandb sync`."
    ]


def _make_places(settings: Settings) -> None:
    for path in (settings.outputs, settings.control, settings.manifests):
        created_paths.directory(settings, path)


def _install(settings: Settings, missing: List[Need], log: StepLog) -> Tuple[List[str], List[str]]:
    """Install what is missing and APT_PACKAGES; (what was installed, warnings)."""
    asked = settings["APT_PACKAGES"].split()
    bad = [name for name in asked if _PACKAGE.fullmatch(name) is None]
    if bad:
        raise Refusal(
            "apt",
            "APT_PACKAGES names no package: %s" % ", ".join(repr(name) for name in bad),
            "Write Debian package names, separated by spaces.",
        )
    lacking = lacking_packages(settings)
    wanted = list(dict.fromkeys([*(need.package for need in missing if need.package), *lacking]))
    if not wanted:
        return [], []
    why = _apt(wanted, log)
    if not why:
        return wanted, []
    refusal = refusal_of_apt(wanted, lacking, why)
    if lacking or any(need.required and need.package for need in missing):
        raise refusal
    return [], [refusal.message]


def _apt(packages: List[str], log: StepLog) -> str:
    """Install `packages`; '' or why that failed."""
    why = why_no_apt()
    if why:
        return why
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    options = ["-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    updated = run_step(log, [*apt, "update"], timeout_s=_APT_TIMEOUT_S)
    done = run_step(log, [*apt, "install", *options, "--", *packages], timeout_s=_APT_TIMEOUT_S)
    if done.ok:
        return ""
    return done.says() if updated.ok else "apt-get update: %s" % updated.says()


def _run_scripts(settings: Settings, log: StepLog, warnings: List[str]) -> List[Dict[str, object]]:
    wandb = settings.flag("SWEEP_WANDB") or settings.flag("RUN_WANDB_SETUP")
    chosen = [("BOOTSTRAP_SCRIPT", False)] + ([("WANDB_SETUP_SCRIPT", True)] if wandb else [])
    told: List[Dict[str, object]] = []
    for key, required in chosen:
        path = settings[key]
        if not path:
            continue
        limit_s = settings.int("WF_PHASE_TIMEOUT_SECS") or _SCRIPT_TIMEOUT_S
        env = exported(settings)
        done = run_step(log, [*BASH, "--", path], timeout_s=limit_s, env=env)
        told.append({"key": key, "path": path, "rc": done.returncode, "required": required})
        if done.ok:
            continue
        message = '%s="%s": %s' % (key, path, done.says())
        if required:
            raise Refusal(
                "helper-script",
                message,
                "Correct the script, or disable it with RUN_WANDB_SETUP=0 and SWEEP_WANDB=0.",
                {"scripts": told, "log_tail": done.tail()},
            )
        warnings.append(message)
    return told
