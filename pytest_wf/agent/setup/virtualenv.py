"""The virtual environment of a checkout, and the contract on torch."""

import os
import shutil
import sys
from typing import Any, Dict, List, Optional, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup.bootstrap import wants_pip
from pytest_wf.agent.setup.logged_step import StepLog, exported, run_step
from pytest_wf.wire.files import BadJson, parse_json, read_json, write_json
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, SCHEMA, NotOurs, is_foreign_folder

_TIMEOUT_S = 600.0
#: The oldest torch that REQUIRE_GPU_TORCH=1 accepts.
MIN_TORCH = (2, 3)

_TORCH_REMEDY = (
    "Use an image with a CUDA build of torch and point REMOTE_PYTHON_BIN at its python; "
    "REQUIRE_GPU_TORCH=0 is for machines without a GPU, TRAIN_LAUNCHER=python for trainings "
    "without torch."
)

_MARK = "wf-facts:"
_ABOUT_PYTHON = """
import json, sys, sysconfig
print("wf-facts:" + json.dumps({
    "executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3],
    "base": sys.base_prefix, "in_venv": sys.prefix != sys.base_prefix,
    "site": sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})}))
"""
_ABOUT_TORCH = """
import json
facts = None
try:
    import torch
except ImportError as e:
    facts = "%s" % e
else:
    cuda = bool(torch.cuda.is_available())
    count = torch.cuda.device_count() if cuda else 0
    facts = {"version": str(torch.__version__), "cuda": cuda,
             "devices": [torch.cuda.get_device_name(i) for i in range(count)],
             "file": getattr(torch, "__file__", None) or "",
             "cuda_version": getattr(getattr(torch, "version", None), "cuda", None)}
print("wf-facts:" + json.dumps(facts))
"""
# the lines of `pip freeze`, also where the environment has no pip
_ABOUT_PACKAGES = """
import json
from importlib import metadata
lines = {}
for found in metadata.distributions():
    name = found.metadata["Name"] if found.metadata else None
    if not name or name.lower() in lines:
        continue
    line = name + "==" + found.version
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        origin = {}
    if origin.get("url"):
        commit = origin.get("vcs_info", {}).get("commit_id", "")
        line = "%s @ %s%s" % (name, origin["url"], "@" + commit if commit else "")
    lines[name.lower()] = line
print("wf-facts:" + json.dumps([lines[key] for key in sorted(lines)]))
"""


def make_venv(settings: Settings, log: StepLog) -> Dict[str, Any]:
    """The checkout's virtual environment, made or found; {"python", "version", "made"}.

    It sees the packages of REMOTE_PYTHON_BIN, also where that python is itself in a virtual
    environment. Raises Refusal 'venv', NotOurs.
    """
    where = os.path.join(settings.repo, ".venv")
    record = os.path.join(where, MARKER)
    python = settings["REMOTE_PYTHON_BIN"]
    about = _facts(log, [python, "-I", "-c", _ABOUT_PYTHON], settings)[0]
    if not isinstance(about, dict):
        raise _refused('REMOTE_PYTHON_BIN="%s" does not run' % python, "Name a python of the pod.")
    unfinished = os.path.join(settings.repo, ".git", "wf-venv-unfinished")
    is_unfinished = os.path.exists(unfinished) and not os.path.islink(where)
    if not is_unfinished and is_foreign_folder(where):
        raise NotOurs(where, "Move it away; the checkout makes its own.")
    if os.path.isdir(where) and (is_unfinished or settings.flag("VENV_RECREATE")):
        shutil.rmtree(where)
    made = not os.path.lexists(where)
    if made:
        with open(unfinished, "w", encoding="utf-8"):
            pass
        _run_venv(log, python, where, [] if wants_pip(settings) else ["--without-pip"])
        if about["in_venv"]:
            _add_parent(settings, log, about["site"])
        write_json(record, dict(about, schema=SCHEMA))
        os.unlink(unfinished)
    _check(settings, log, about, record)
    if wants_pip(settings):
        if _foreign_pips(where) and not made:
            _run_venv(log, python, where, [])
        _require_own_pip(where)
    return {"python": settings.venv_python, "version": about["version"], "made": made}


def why_unusable(settings: Settings, log: StepLog) -> str:
    """Why `make_venv` would refuse the environment that is there; '' where it would not."""
    where = os.path.join(settings.repo, ".venv")
    unfinished = os.path.join(settings.repo, ".git", "wf-venv-unfinished")
    is_made_anew = settings.flag("VENV_RECREATE") or os.path.exists(unfinished)
    if is_made_anew or not os.path.lexists(where):
        return ""
    about = _facts(log, [settings["REMOTE_PYTHON_BIN"], "-I", "-c", _ABOUT_PYTHON], settings)[0]
    try:
        if is_foreign_folder(where):
            raise NotOurs(where)
        if isinstance(about, dict):  # else it is a missing prerequisite
            _check(settings, log, about, os.path.join(where, MARKER))
    except Refusal as e:
        return e.message
    return ""


def check_torch(settings: Settings, log: StepLog) -> Optional[Dict[str, Any]]:
    """The torch that trainings will import; None where there is none.

    It is never one of the checkout's own. With REQUIRE_GPU_TORCH=1 it must be recent and see a
    GPU for each of NPROC_PER_NODE processes; torchrun needs one in any case. Raises Refusal
    'torch'.
    """
    torch, error = find_torch(settings, log, settings.venv_python)
    if torch is not None and _is_within(torch["file"], os.path.join(settings.repo, ".venv")):
        raise Refusal(
            "torch",
            "torch %s was installed into the checkout's environment (%s)"
            % (torch["version"], torch["file"]),
            "Take torch out of what CHECKOUT_INSTALL_CMD installs (pip's --no-deps, say): it is "
            "the image's. Then set VENV_RECREATE=1 once.",
            {"torch": torch, "python": settings.venv_python},
        )
    why = why_unfit(settings, torch, error)
    if why:
        raise Refusal("torch", why, _TORCH_REMEDY, {"torch": torch, "python": settings.venv_python})
    return torch


def find_torch(
    settings: Settings, log: StepLog, python: str
) -> Tuple[Optional[Dict[str, Any]], str]:
    """The torch that `python` imports; None where there is none, and why."""
    found, said = _facts(log, [python, "-I", "-B", "-c", _ABOUT_TORCH], settings)
    if isinstance(found, dict):
        return found, ""
    return None, found if isinstance(found, str) else said


def why_unfit(settings: Settings, torch: Optional[Dict[str, Any]], error: str) -> str:
    """Why this torch does not do for the rows; '' where it does.

    `error` says why there is none. Without REQUIRE_GPU_TORCH it must only be there, and only
    where the launcher is a part of it.
    """
    requires_gpu = settings.flag("REQUIRE_GPU_TORCH")
    if torch is None:
        launches = settings["TRAIN_LAUNCHER"] == "torchrun" and not (
            settings["TRAIN_COMMAND_TEMPLATE"] or settings.flag("SWEEP_DRY_RUN")
        )
        missing = "torch cannot be imported: %s" % error
        return missing if requires_gpu else "%s, and torchrun needs it" % missing * launches
    ranks = settings.int("NPROC_PER_NODE")
    if not requires_gpu:
        return ""
    if _version(torch["version"]) < MIN_TORCH:
        return "torch %s is older than %d.%d" % (torch["version"], *MIN_TORCH)
    if not torch["cuda"]:
        return "torch %s from %s sees no GPU" % (torch["version"], torch["file"])
    if len(torch["devices"]) < ranks:
        return "torch sees %d GPUs, and NPROC_PER_NODE=%d" % (len(torch["devices"]), ranks)
    return ""


def packages(settings: Settings, log: StepLog) -> List[str]:
    """Every package that a training can import, in the form of `pip freeze`, by name.

    Raises Refusal 'venv' where they cannot be told.
    """
    found, said = _facts(log, [settings.venv_python, "-I", "-c", _ABOUT_PACKAGES], settings)
    if not isinstance(found, list):
        raise _refused(
            "the packages of %s cannot be listed: %s" % (settings.venv_python, said),
            "Set VENV_RECREATE=1 to have it made anew.",
        )
    return [str(line) for line in found]


def venv_environment(settings: Settings) -> Dict[str, str]:
    """The environment of the user's commands: the config, and the venv first on the PATH."""
    bin_dir = os.path.dirname(settings.venv_python)
    return exported(
        settings,
        {
            "PATH": bin_dir + os.pathsep + os.environ.get("PATH", os.defpath),
            "VIRTUAL_ENV": os.path.dirname(bin_dir),
            "VENV_PYTHON": settings.venv_python,
        },
    )


def _run_venv(log: StepLog, python: str, where: str, options: List[str]) -> None:
    argv = [python, "-I", "-m", "venv", "--system-site-packages", *options, "--", where]
    done = run_step(log, argv, timeout_s=_TIMEOUT_S)
    if not done.ok:
        raise _refused(
            "%s cannot make a virtual environment: %s" % (python, done.says()),
            "On Debian and Ubuntu, install python3-venv.",
        )


def _check(settings: Settings, log: StepLog, about: Dict[str, Any], record: str) -> None:
    now = _facts(log, [settings.venv_python, "-I", "-c", _ABOUT_PYTHON], settings)[0]
    made_from = read_json(record)
    if not isinstance(now, dict):
        why = "it does not run any more"
    elif now["base"] != about["base"] or made_from.get("executable") != about["executable"]:
        why = "it was made from %s, and REMOTE_PYTHON_BIN is %s" % (
            made_from.get("executable"),
            about["executable"],
        )
    else:
        return
    raise _refused(
        "%s cannot be used: %s" % (os.path.dirname(record), why),
        "Set VENV_RECREATE=1 to have it made anew.",
    )


def _foreign_pips(where: str) -> List[str]:
    """The names of pip for which a command in the environment would run another one's, or none."""
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
    # also behind `#!/bin/sh`, where the path is too long for a first line
    pythons = [os.path.join(path, "bin", "python") for path in (where, os.path.realpath(where))]
    return os.access(script, os.X_OK) and any(os.fsencode(path) in head for path in pythons)


def _require_own_pip(where: str) -> None:
    foreign = _foreign_pips(where)
    if foreign:
        raise _refused(
            "%s has no %s of its own: the checkout's commands would install into another "
            "environment" % (where, " and no ".join(foreign)),
            "Set VENV_RECREATE=1 to have it made anew.",
        )


def _add_parent(settings: Settings, log: StepLog, sites: Any) -> None:
    own = _facts(log, [settings.venv_python, "-I", "-c", _ABOUT_PYTHON], settings)[0]
    if not isinstance(own, dict):
        raise _refused("the new virtual environment does not run", "See the log.")
    path = os.path.join(own["site"][0], "wf_parent.pth")
    with open(path, "w", encoding="utf-8") as f:
        f.write("".join("%s\n" % site for site in sites))


def _facts(log: StepLog, argv: List[str], settings: Settings) -> Tuple[Any, str]:
    try:
        done = run_step(log, argv, timeout_s=_TIMEOUT_S, env=exported(settings))
    except OSError as e:
        return None, str(e)
    for line in reversed(done.output.splitlines()):
        if line.startswith(_MARK):
            try:
                return parse_json(line[len(_MARK) :].encode()), done.says()
            except BadJson:
                break
    return None, done.says()


def _version(text: str) -> Tuple[int, int]:
    numbers = [*text.split("."), "0", "0"][:2]
    return (
        int(numbers[0]) if numbers[0].isdigit() else 0,
        int("".join(c for c in numbers[1] if c.isdigit()) or 0),
    )


def _is_within(path: str, folder: str) -> bool:
    # by either name: some installers link to a cache of theirs, and imports name the link
    real = os.path.realpath(folder)
    inside = (real + os.sep, os.path.abspath(folder) + os.sep)
    return os.path.abspath(path).startswith(inside) or os.path.realpath(path).startswith(inside)


def _refused(message: str, remedy: str) -> Refusal:
    return Refusal("venv", message, remedy, {"python": sys.executable})
