"""The virtual environment of a checkout."""

import glob
import os
import re
import shlex
import shutil
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import venv_contents
from pytest_wf.agent.setup.logged_step import StepLog, exported, run_step
from pytest_wf.agent.setup.prerequisites import is_debians, wants_pip
from pytest_wf.wire import user
from pytest_wf.wire.files import BadJson, parse_json, read_json, write_atomic
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, NotOurs, is_foreign_folder

_TIMEOUT_S = 600.0
#: How many packages a refusal names.
_SHOWN = 10
_MARK = "wf-facts:"
_ABOUT_PYTHON = """
import json, sys, sysconfig
print("wf-facts:" + json.dumps({
    "executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3],
    "base": sys.base_prefix, "in_venv": sys.prefix != sys.base_prefix,
    "site": sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})}))
"""
# the lines of `pip freeze`, even if the environment has no pip, and where each package is
ABOUT_PACKAGES = """
import json
from importlib import metadata
lines = {}
for found in metadata.distributions():
    name = found.metadata["Name"] if found.metadata else None
    if not name or name.lower() in lines:
        continue
    version = str(found.version)
    line = name + "==" + version
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        origin = {}
    if origin.get("url"):
        commit = origin.get("vcs_info", {}).get("commit_id", "")
        line = "%s @ %s%s" % (name, origin["url"], "@" + commit if commit else "")
    lines[name.lower()] = [line, str(found.locate_file("")), version]
print("wf-facts:" + json.dumps([lines[key] for key in sorted(lines)]))
"""


class Package(NamedTuple):
    """A package that a training can import."""

    #: As `pip freeze` prints it.
    line: str
    folder: str
    version: str

    @property
    def name(self) -> str:
        """Its name in the form in which names are compared."""
        return normalized(self.line.split(" @ ")[0].split("==")[0])


class Outlook(NamedTuple):
    """What a checkout would do with the existing or missing environment."""

    #: How it would refuse the environment; None if it would not.
    refusal: Optional[Refusal]
    is_made_anew: bool


def normalized(name: str) -> str:
    """A package's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def make_venv(settings: Settings, log: StepLog) -> Dict[str, Any]:
    """The checkout's virtual environment, made or found; {"python", "version", "made"}.

    It sees the packages of REMOTE_PYTHON_BIN, even if that python is itself in a virtual
    environment. One that no longer fits is made anew if nothing was installed into it. Raises
    Refusal 'venv', NotOurs.
    """
    where = os.path.join(settings.repo, ".venv")
    about = _about(settings, log)
    if about is None:
        python = settings["REMOTE_PYTHON_BIN"]
        raise _refused('REMOTE_PYTHON_BIN="%s" does not run' % python, "Name a python of the pod.")
    is_unfinished = _is_unfinished(settings, where)
    if not is_unfinished and is_foreign_folder(where):
        raise _not_ours(where)
    made = is_unfinished or settings.flag("VENV_RECREATE") or not os.path.lexists(where)
    why = "" if made else _why_unfit(settings, log, about) or _add_pip(settings, log, where)
    if why:
        _refuse_to_lose(where, why)
        made = True
    if made:
        _make(settings, log, where, about)
        why = _why_unfit(settings, log, about) or _no_pip(settings, where)
        if why:
            raise _refused("%s cannot be used: %s" % (where, why), "See the log of the checkout.")
    return {"python": settings.venv_python, "version": about["version"], "made": made}


def outlook(settings: Settings, log: StepLog) -> Outlook:
    """What `make_venv` would do with the existing environment."""
    where = os.path.join(settings.repo, ".venv")
    is_unfinished = _is_unfinished(settings, where)
    if not is_unfinished and is_foreign_folder(where):
        return Outlook(_not_ours(where), False)
    if is_unfinished or settings.flag("VENV_RECREATE") or not os.path.lexists(where):
        return Outlook(None, True)
    about = _about(settings, log)
    why = _why_unfit(settings, log, about) if about else ""  # else a missing prerequisite
    try:
        if why:
            _refuse_to_lose(where, why)
    except Refusal as e:
        return Outlook(e, False)
    return Outlook(None, bool(why))


def _about(settings: Settings, log: StepLog) -> Optional[Dict[str, Any]]:
    argv = [settings["REMOTE_PYTHON_BIN"], "-I", "-c", _ABOUT_PYTHON]
    found = facts(log, argv, settings)[0]
    return found if isinstance(found, dict) else None


def _not_ours(where: str) -> NotOurs:
    return NotOurs(where, "Move it away; the checkout makes its own.")


def _is_unfinished(settings: Settings, where: str) -> bool:
    return os.path.exists(_unfinished(settings)) and not os.path.islink(where)


def _unfinished(settings: Settings) -> str:
    return os.path.join(settings.repo, ".git", "wf-venv-unfinished")


def _make(settings: Settings, log: StepLog, where: str, about: Dict[str, Any]) -> None:
    with open(_unfinished(settings), "w", encoding="utf-8"):
        pass
    if os.path.isdir(where):
        shutil.rmtree(where)
    if wants_pip(settings):
        _run_venv(settings, log, where)
    else:
        _run_venv(settings, log, where, "--without-pip")
    if about["in_venv"]:
        _add_parent(settings, log, about["site"])
    venv_contents.remember(where, about)
    os.unlink(_unfinished(settings))


def _refuse_to_lose(where: str, why: str) -> None:
    """Raise Refusal 'venv' if an environment that is to be made anew holds installed packages."""
    held = venv_contents.added(where)
    if held:
        more = ", and %d more" % (len(held) - _SHOWN) if len(held) > _SHOWN else ""
        raise _refused(
            "%s cannot be used: %s. It holds %s%s" % (where, why, ", ".join(held[:_SHOWN]), more),
            "Set VENV_RECREATE=1 to have it made anew, without these.",
        )


def packages(settings: Settings, log: StepLog) -> List[Package]:
    """Every package that a training can import, by name.

    Raises Refusal 'venv' if they cannot be listed.
    """
    return [Package(*one) for one in ask(settings, log, ABOUT_PACKAGES)]


def ask(settings: Settings, log: StepLog, program: str) -> Any:
    """The answer of our `program`, run in the environment. Raises Refusal 'venv' if it fails."""
    found, said = facts(log, [settings.venv_python, "-I", "-c", program], settings)
    if found is None:
        raise _refused(
            "the packages of %s cannot be listed: %s" % (settings.venv_python, said),
            "Set VENV_RECREATE=1 to have it made anew.",
        )
    return found


def venv_environment(settings: Settings) -> Dict[str, str]:
    """The environment of the user's commands: the config, and the venv first on the PATH."""
    bin_dir = os.path.dirname(settings.venv_python)
    # uv's installer puts uv there, and our shells read no profile that would add it
    homes = [user.expanded(path) for path in ("~/.local/bin", "~/.cargo/bin")]
    uv = [path for path in homes if os.access(os.path.join(path, "uv"), os.X_OK)]
    return exported(
        settings,
        {
            "PATH": os.pathsep.join([bin_dir, os.environ.get("PATH", os.defpath), *uv]),
            "VIRTUAL_ENV": os.path.dirname(bin_dir),
            "VENV_PYTHON": settings.venv_python,
        },
    )


def _run_venv(settings: Settings, log: StepLog, where: str, *options: str) -> None:
    python = settings["REMOTE_PYTHON_BIN"]
    argv = [python, "-I", "-m", "venv", "--system-site-packages"]
    done = run_step(log, [*argv, *options, "--", where], timeout_s=_TIMEOUT_S)
    if not done.ok and not options and _lend_pip(settings, log, where):
        return
    if not done.ok:
        raise _refused(
            "%s cannot make a virtual environment: %s" % (python, done.says()),
            "Install python3-venv there."
            if is_debians(python)
            else "Set REMOTE_PYTHON_BIN to another Python of the pod.",
        )


def _lend_pip(settings: Settings, log: StepLog, where: str) -> bool:
    """Create the environment with the pip of REMOTE_PYTHON_BIN; whether that pip works in it.

    Debian's python has no pip of its own to install.
    """
    _run_venv(settings, log, where, "--without-pip")
    pip = [settings.venv_python, "-I", "-m", "pip"]
    if not run_step(log, [*pip, "--version"], timeout_s=_TIMEOUT_S).ok:
        return False
    for name in ("pip", "pip3"):
        script = '#!/bin/sh\nexec %s "$@"\n' % " ".join(map(shlex.quote, pip))
        path = os.path.join(os.path.dirname(settings.venv_python), name)
        write_atomic(path, script.encode(), 0o755)
    return True


def _why_unfit(settings: Settings, log: StepLog, about: Dict[str, Any]) -> str:
    """Why the environment does not fit REMOTE_PYTHON_BIN, described by `about`; '' if it does."""
    now = facts(log, [settings.venv_python, "-I", "-c", _ABOUT_PYTHON], settings)[0]
    record = read_json(os.path.join(settings.repo, ".venv", MARKER))
    if not isinstance(now, dict):
        return "it does not run any more"
    if not now["in_venv"]:
        return "its pyvenv.cfg is gone or damaged, so that its python is that of the image"
    if not all(map(os.path.isdir, now["site"])):
        return "its folder %s is gone" % now["site"][0]
    was, wanted = (
        (known.get("executable"), str(known.get("version")).rpartition(".")[0])
        for known in (record, about)
    )
    if now["base"] == about["base"] and was == wanted:
        return ""
    said = "it was made from %s (%s), and REMOTE_PYTHON_BIN is %s (%s)"
    return said % (*was, *wanted)


def _add_pip(settings: Settings, log: StepLog, where: str) -> str:
    """Give the environment a pip of its own if it needs one; why that failed, or ''."""
    if _no_pip(settings, where):
        before = venv_contents.found(where)
        _run_venv(settings, log, where)
        venv_contents.remember_more(where, before)
    return _no_pip(settings, where)


def _no_pip(settings: Settings, where: str) -> str:
    foreign = _foreign_pips(where) if wants_pip(settings) else []
    if not foreign:
        return ""
    return "it has no %s of its own: the checkout's commands would install into another one" % (
        " and no ".join(foreign)
    )


def _foreign_pips(where: str) -> List[str]:
    """The names of pip under which the environment has no command of its own."""
    return [
        name for name in ("pip", "pip3") if not _is_own(os.path.join(where, "bin", name), where)
    ]


def _is_own(script: str, where: str) -> bool:
    """Whether a script can be run, and is run by the environment's own python."""
    try:
        with open(script, "rb") as f:
            head = f.read(1024)
    except OSError:
        return False
    # also after `#!/bin/sh`, if the path is too long for a first line
    pythons = [os.path.join(path, "bin", "python") for path in (where, os.path.realpath(where))]
    return os.access(script, os.X_OK) and any(os.fsencode(path) in head for path in pythons)


def _add_parent(settings: Settings, log: StepLog, sites: Any) -> None:
    own = facts(log, [settings.venv_python, "-I", "-c", _ABOUT_PYTHON], settings)[0]
    if not isinstance(own, dict):
        raise _refused("the new virtual environment does not run", "See the log.")
    path = os.path.join(own["site"][0], "wf_parent.pth")
    with open(path, "w", encoding="utf-8") as f:
        # not the folder alone: packages that are installed editable there are in its .pth files
        f.write("".join("import site; site.addsitedir(%r)\n" % site for site in sites))


def site_packages(where: str) -> str:
    """The folder of an environment's own packages."""
    return next(iter(glob.glob(os.path.join(glob.escape(where), "lib", "*", "site-packages"))))


def facts(log: StepLog, argv: List[str], settings: Settings) -> Tuple[Any, str]:
    """The answer of the program `argv` about a python, and its last output if it fails."""
    found, said = answers(log, argv, settings)
    return (found[-1] if found else None), said


def answers(log: StepLog, argv: List[str], settings: Settings) -> Tuple[List[Any], str]:
    """The answers of the program `argv`, in order, and its last output if it fails."""
    try:
        done = run_step(log, argv, timeout_s=_TIMEOUT_S, env=exported(settings))
    except OSError as e:
        return [], str(e)
    lines = [line for line in done.output.splitlines() if line.startswith(_MARK)]
    try:
        return [parse_json(line[len(_MARK) :].encode()) for line in lines], done.says()
    except BadJson:
        return [], done.says()


def _refused(message: str, remedy: str) -> Refusal:
    return Refusal("venv", message, remedy, {"python": sys.executable})
