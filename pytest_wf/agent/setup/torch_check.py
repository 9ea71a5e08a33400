"""The contract on torch: it comes from the image and is fit for the rows."""

import os
from typing import Any, Dict, List, Optional, Tuple

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.setup.virtualenv import Package
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.trainer import template

#: The oldest torch that REQUIRE_GPU_TORCH=1 accepts.
MIN_TORCH = (2, 3)

_TORCH_REMEDY = (
    "Use an image with a CUDA build of torch and point REMOTE_PYTHON_BIN at its python; "
    "REQUIRE_GPU_TORCH=0 is for machines without a GPU, TRAIN_LAUNCHER=python for trainings "
    "without torch."
)

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


def check_torch_and_packages(
    settings: Settings, log: StepLog
) -> Tuple[Optional[Dict[str, Any]], List[Package]]:
    """The torch that trainings will import, None if there is none; and all packages, by name.

    It is never one of the checkout's own. With REQUIRE_GPU_TORCH=1 it must be recent and see a
    GPU for each of NPROC_PER_NODE processes; torchrun needs one in any case. Raises Refusal
    'torch', or 'venv' if the packages cannot be listed.
    """
    program = _ABOUT_TORCH + virtualenv.ABOUT_PACKAGES
    found, said = virtualenv.answers(log, [*_argv(settings.venv_python), program], settings)
    torch, error = _torch(found[0] if found else None, said)
    _check(settings, torch, error)
    if len(found) == 2:
        return torch, [Package(*one) for one in found[1]]
    return torch, virtualenv.packages(settings, log)  # says what is wrong


def _check(settings: Settings, torch: Optional[Dict[str, Any]], error: str) -> None:
    if torch is not None and _is_within(torch["file"], os.path.join(settings.repo, ".venv")):
        raise Refusal(
            "torch",
            "torch %s was installed into the checkout's environment (%s)"
            % (torch["version"], torch["file"]),
            "Take torch out of what CHECKOUT_INSTALL_CMD installs (pip's --no-deps, `uv export "
            "--prune torch`): it is the image's. Then set VENV_RECREATE=1 once.",
            {"torch": torch, "python": settings.venv_python},
        )
    why = why_unfit(settings, torch, error, executor_of(settings).runs_here)
    if why:
        raise Refusal("torch", why, _TORCH_REMEDY, {"torch": torch, "python": settings.venv_python})


def find_torch(
    settings: Settings, log: StepLog, python: str
) -> Tuple[Optional[Dict[str, Any]], str]:
    """The torch that `python` imports; None if there is none, and why."""
    return _torch(*virtualenv.facts(log, [*_argv(python), _ABOUT_TORCH], settings))


def _argv(python: str) -> List[str]:
    return [python, "-I", "-B", "-c"]


def _torch(found: Any, said: str) -> Tuple[Optional[Dict[str, Any]], str]:
    if isinstance(found, dict):
        return found, ""
    return None, found if isinstance(found, str) else said


def why_unfit(
    settings: Settings, torch: Optional[Dict[str, Any]], error: str, sees_gpus: bool = True
) -> str:
    """Why this torch is not fit for the rows; '' if it is.

    `error` says why there is none. Without REQUIRE_GPU_TORCH it must only exist, and only if the
    launcher is a part of it.
    """
    requires_gpu = settings.flag("REQUIRE_GPU_TORCH") and sees_gpus
    if torch is None:
        is_launched = template.uses_launcher(settings) and not settings.flag("SWEEP_DRY_RUN")
        launches = settings["TRAIN_LAUNCHER"] == "torchrun" and is_launched
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
