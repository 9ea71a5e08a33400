"""P40: install what a training needs, and run the helper scripts."""

import os
import re
import shutil
from typing import Dict, List, NamedTuple, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import created_paths, journal, lease, state
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import trackers
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import probe
from pytest_wf.agent.setup.logged_step import BASH, StepLog, exported, run_step
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal

_APT_TIMEOUT_S = 900.0
_LOOK_TIMEOUT_S = 60.0
_SCRIPT_TIMEOUT_S = 3600
#: The exit status of `_LOOK_AT_PYTHON` if the python is recent and cannot make an environment.
_NO_VENV = 77
# found, not imported: importing venv alone takes longer than all other checks together
_LOOK_AT_PYTHON = (
    """
import sys
if sys.version_info < (3, 8):
    sys.exit(1)
from importlib.util import find_spec as f
pip = f("ensurepip") or f("pip") or sys.argv[1:]
sys.exit(0 if f("venv") and pip else %d)
"""
    % _NO_VENV
)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9.+:~-]+)?")


class Need(NamedTuple):
    """A prerequisite: its name, its package ('' if none), and whether it is required."""

    name: str
    package: str
    required: bool


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
    if not verify and _may_install(settings):
        installed, warnings = _install(settings, missing, log)
    scripts = [] if verify else _run_scripts(settings, log, warnings)
    if installed or warnings or scripts:
        missing = missing_prerequisites(settings)
    required = [need.name for need in missing if need.required]
    if required:
        raise Refusal(
            "prerequisites",
            "missing on the pod: %s" % ", ".join(required),
            "Install them there, or set AUTO_INSTALL_PREREQS=1 where apt can.",
            {"missing": required},
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


def missing_prerequisites(settings: Settings) -> List[Need]:
    """The missing prerequisites, in the order in which they are reported."""
    mirrored = settings["RUN_OUT_MODE"] == "local_sync"
    python = settings["REMOTE_PYTHON_BIN"]
    needs = [
        Need(name, name, required)
        for name, required in (("bash", True), ("git", True), ("tmux", False), ("rsync", mirrored))
        if shutil.which(name) is None
    ]
    debian = python in ("python3", "/usr/bin/python3")
    words = [] if wants_pip(settings) else ["without-pip"]
    looked = process.output([python, "-I", "-c", _LOOK_AT_PYTHON, *words], _LOOK_TIMEOUT_S)
    if looked.code == _NO_VENV:
        needs.append(Need("%s -m venv" % python, "python3-venv" if debian else "", True))
    elif not looked.ok:
        needs.append(Need("%s (3.8 or later)" % python, "python3" if debian else "", True))
    return needs


def wants_pip(settings: Settings) -> bool:
    """Whether the checkout's virtual environment needs pip: the user's commands may call it."""
    return bool(settings["CHECKOUT_INSTALL_CMD"] or settings["CHECKOUT_POST_CMD"])


def _succeeds(argv: List[str]) -> bool:
    return process.output(argv, _LOOK_TIMEOUT_S).ok


def why_not_installable(settings: Settings) -> str:
    """Why P40 could not install what AUTO_INSTALL_PREREQS asks for; '' if it could, or need not."""
    asked = settings["APT_PACKAGES"].split()
    wanted = [name for name in asked if not _is_installed(name)]
    wanted += [need.package for need in missing_prerequisites(settings) if need.package]
    if not _may_install(settings) or not wanted:
        return ""
    why = _why_no_apt()
    return "%s cannot be installed: %s" % (" ".join(dict.fromkeys(wanted)), why) if why else ""


def _may_install(settings: Settings) -> bool:
    """Whether packages may be installed on this machine: not on a cluster's login node."""
    return settings.flag("AUTO_INSTALL_PREREQS") and executor_of(settings).runs_here


def _why_no_apt() -> str:
    if shutil.which("apt-get") is None:
        return "the pod has no apt-get"
    return "" if probe.can_become_root() else "it needs root, and sudo asks for a password"


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
    wanted = [need.package for need in missing if need.package]
    wanted += [name for name in asked if name not in wanted and not _is_installed(name)]
    if not wanted:
        return [], []
    why = _apt(wanted, log)
    if not why:
        return wanted, []
    if asked or any(need.required for need in missing):
        raise Refusal(
            "apt",
            "%s could not be installed: %s" % (" ".join(wanted), why),
            "Install them by hand, or use an image that has them.",
            {"packages": wanted},
        )
    return [], ["%s could not be installed: %s" % (" ".join(wanted), why)]


def _apt(packages: List[str], log: StepLog) -> str:
    """Install `packages`; '' or why that failed."""
    why = _why_no_apt()
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


def _is_installed(package: str) -> bool:
    return _succeeds(["dpkg", "-s", "--", package.partition("=")[0]])


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
