"""Programs that a training needs on the pod: which of them are missing, and what helps there."""

import os
import shutil
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import probe
from pytest_wf.wire.messages import Refusal

_LOOK_TIMEOUT_S = 60.0
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
#: Where a pod may have a python, besides the one that runs this.
_PYTHONS = (
    "python3",
    "python",
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/opt/conda/bin/python",
)


class Need(NamedTuple):
    """A prerequisite that is missing: its name, its Debian package, and whether it is required."""

    name: str
    #: '' if apt has none that would help.
    package: str
    required: bool
    is_python: bool = False


def missing_prerequisites(settings: Settings) -> List[Need]:
    """The missing prerequisites, in the order in which they are reported."""
    mirrored = settings["RUN_OUT_MODE"] == "local_sync"
    needs = [
        Need(name, name, required)
        for name, required in (("bash", True), ("git", True), ("tmux", False), ("rsync", mirrored))
        if shutil.which(name) is None
    ]
    python = settings["REMOTE_PYTHON_BIN"]
    looked = _look_at(settings, python)
    if looked.code == _NO_VENV:
        package = "python3-venv" if is_debians(python) else ""
        needs.append(Need("%s -m venv" % python, package, True, is_python=True))
    elif not looked.ok:
        # the package brings python3 too
        is_absent = python in ("python3", "/usr/bin/python3") and shutil.which(python) is None
        package = "python3-venv" if is_absent else ""
        needs.append(Need("%s (3.8 or later)" % python, package, True, is_python=True))
    return needs


def is_debians(python: str) -> bool:
    """Whether `python` is the one to which Debian's packages belong."""
    return shutil.which(python) in ("/usr/bin/python3", "/bin/python3")


def wants_pip(settings: Settings) -> bool:
    """Whether the checkout's virtual environment needs pip: the user's commands may call it."""
    return bool(settings["CHECKOUT_INSTALL_CMD"] or settings["CHECKOUT_POST_CMD"])


def may_install(settings: Settings) -> bool:
    """Whether packages may be installed on this machine: not on a cluster's login node."""
    return settings.flag("AUTO_INSTALL_PREREQS") and executor_of(settings).runs_here


def why_no_apt() -> str:
    """Why apt can install nothing here; '' if it can."""
    if shutil.which("apt-get") is None:
        return "the pod has no apt-get"
    if not probe.can_become_root():
        return "apt-get needs root, and sudo is not there or asks for a password"
    return ""


def lacking_packages(settings: Settings) -> List[str]:
    """Those of APT_PACKAGES that are not installed."""
    asked = settings["APT_PACKAGES"].split()
    return [name for name in dict.fromkeys(asked) if not _is_installed(name)]


def described(settings: Settings, needs: Sequence[Need]) -> List[Dict[str, Any]]:
    """Missing `needs` for `wf doctor`: with what helps, and whether P40 installs it."""
    installs = bool(needs) and may_install(settings) and not why_no_apt()
    return [
        {
            "name": need.name,
            "required": need.required,
            "is_installed_by_p40": installs and bool(need.package),
            "remedy": remedy(settings, [need]),
        }
        for need in needs
    ]


def remedy(settings: Settings, needs: Sequence[Need], *, installs: bool = True) -> str:
    """What can be done about missing `needs`; `installs` is false where P40 only verifies."""
    why = _why_not_by_key(settings) if installs else "a resume installs nothing"
    told = []
    if any(need.package for need in needs):
        told.append(
            "Install what is missing there, or use an image that has it: %s." % why
            if why
            else "Set AUTO_INSTALL_PREREQS=1 to have apt install what is missing."
        )
    if any(need.is_python and (why or not need.package) for need in needs):
        told.append(_remedy_of_python(settings))
    return " ".join(told)


def apt_outlook(settings: Settings, missing: Sequence[Need]) -> Optional[Refusal]:
    """The refusal of P40 if it must install packages and apt can install none; None if not."""
    lacking = lacking_packages(settings)
    needed = [need.package for need in missing if need.required and need.package]
    if not may_install(settings) or not (needed or lacking):
        return None
    why = why_no_apt()
    return refusal_of_apt([*needed, *lacking], lacking, why) if why else None


def refusal_of_apt(packages: Sequence[str], lacking: Sequence[str], why: str) -> Refusal:
    """`packages` cannot be installed because of `why`; `lacking` are those of APT_PACKAGES."""
    remedies = ["Correct APT_PACKAGES; take out what apt cannot install there."] if lacking else []
    if set(packages) - set(lacking):
        remedies.append("Install what is missing by hand, or use an image that has it.")
    message = "%s cannot be installed: %s" % (" ".join(packages), why)
    return Refusal("apt", message, " ".join(remedies), {"packages": list(packages)})


def _why_not_by_key(settings: Settings) -> str:
    """Why setting AUTO_INSTALL_PREREQS=1 would not help; '' if it may."""
    if not executor_of(settings).runs_here:
        return "AUTO_INSTALL_PREREQS installs nothing on a cluster"
    is_set = settings.flag("AUTO_INSTALL_PREREQS")
    return why_no_apt() or ("its package did not bring it" if is_set else "")


def _remedy_of_python(settings: Settings) -> str:
    usable = _usable_pythons(settings)
    if usable:
        return "Set REMOTE_PYTHON_BIN to a Python that the pod has: %s." % " or ".join(usable)
    return (
        "Install Python 3.8 or later with venv and pip there, and set REMOTE_PYTHON_BIN to its "
        "path: none was found on the pod."
    )


def _usable_pythons(settings: Settings) -> List[str]:
    """The pythons found on this machine that can make the checkout's environment."""
    found: Dict[Tuple[str, str], str] = {}
    for name in (*_PYTHONS, sys.executable):
        path = shutil.which(name)
        if path and _look_at(settings, path).ok:
            # `python` and `python3` of one folder are the same
            found.setdefault((os.path.dirname(path), os.path.realpath(path)), path)
    return list(found.values())


def _look_at(settings: Settings, python: str) -> process.Output:
    words = [] if wants_pip(settings) else ["without-pip"]
    return process.output([python, "-I", "-c", _LOOK_AT_PYTHON, *words], _LOOK_TIMEOUT_S)


def _is_installed(package: str) -> bool:
    argv = ["dpkg", "-s", "--", package.partition("=")[0]]
    return process.output(argv, _LOOK_TIMEOUT_S).ok
