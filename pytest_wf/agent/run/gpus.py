"""The GPUs of this machine, and who uses them.

A GPU is identified as in `CUDA_VISIBLE_DEVICES`: by an index, or the beginning of a UUID.
nvidia-smi may take a second: its list of GPUs is read once, and again before a row begins. Its list
of processes is read only if a GPU shows more memory in use than it did without any process.
"""

import csv
import glob
import os
import time
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control.settings import Settings

#: Seconds after which nvidia-smi counts as not answering.
TIMEOUT_S = 30.0
#: Memory that a GPU may show as used without any process.
IDLE_MIB = 1024
#: Seconds for which an answer of nvidia-smi says which GPUs there are, and how they are used.
KEPT_S = 60.0
FRESH_S = 1.0

_TORCH = "import torch; print(torch.cuda.device_count())"
_NODES = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvhost-*", "/dev/kfd", "/dev/dxg")


# By the PATH, which decides on nvidia-smi: the last list of GPUs and when it was read.
_last: Dict[str, Tuple[float, Optional[List[List[str]]]]] = {}
# Memory that a GPU showed as used when no process was listed for it, by its UUID.
_idle: Dict[str, int] = {}


class Gpus(NamedTuple):
    """The GPUs that a pod's rows may use, and who named them."""

    names: List[str]
    #: 'CUDA_VISIBLE_DEVICES', 'nvidia-smi', 'torch', or '' if there are none.
    source: str


def detect(settings: Settings, environ: Optional[Mapping[str, str]] = None) -> Gpus:
    """The GPUs by `CUDA_VISIBLE_DEVICES` (the config's, else the pod's), nvidia-smi, or torch."""
    environ = os.environ if environ is None else environ
    named = settings["CUDA_VISIBLE_DEVICES"] or environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return Gpus(_visible(named), "CUDA_VISIBLE_DEVICES")
    listed = _listed(KEPT_S)
    if listed:
        return Gpus([fields[0] for fields in listed], "nvidia-smi")
    # importing torch takes seconds: only if the machine shows any device at all
    if any(glob.glob(pattern) for pattern in _NODES):
        count = _ask_torch(settings.venv_python)
        if count:
            return Gpus([str(i) for i in range(count)], "torch")
    return Gpus([], "")


def users_of(names: Sequence[str]) -> str:
    """The processes that hold memory of these GPUs, as text; '' if there are none, or unknown."""
    listed = _listed(FRESH_S) if names else None
    mine = {
        uuid: (index, used)
        for index, uuid, used in listed or []
        if any(name == index or uuid.startswith(name) for name in names)
    }
    if all(used.isdigit() and int(used) <= _idle.get(uuid, -1) for uuid, (_, used) in mine.items()):
        _note_idle((used, uuid) for uuid, (_, used) in mine.items())
        return ""
    found = []
    seen = set()
    apps = _ask_smi("compute-apps", "gpu_uuid", "pid", "used_memory", "process_name")
    for uuid, pid, used, name in apps or []:
        if uuid in mine:
            seen.add(uuid)
            found.append("GPU %s: pid %s (%s) has %s MiB" % (mine[uuid][0], pid, name, used))
    for uuid, (index, used) in mine.items():
        # a process in another container is not listed, but its memory counts
        if uuid not in seen and used.isdigit() and int(used) > IDLE_MIB:
            found.append("GPU %s: %s MiB are in use by an unknown process" % (index, used))
    if apps is not None:
        using = {uuid for uuid, *_ in apps}
        _note_idle((used, uuid) for _, uuid, used in listed or [] if uuid not in using)
    return "; ".join(found)


def _note_idle(unused: Iterable[Tuple[str, str]]) -> None:
    """Keep the lowest memory that GPUs showed as used while no process was listed for them."""
    for used, uuid in unused:
        if used.isdigit() and int(used) <= IDLE_MIB:
            _idle[uuid] = min(int(used), _idle.get(uuid, IDLE_MIB))


def _listed(max_age_s: float) -> Optional[List[List[str]]]:
    """Index, UUID and used memory of each GPU; None if nvidia-smi does not answer."""
    path, now = os.environ.get("PATH", ""), time.monotonic()
    known = _last.get(path)
    if known is not None and now - known[0] <= max_age_s:
        return known[1]
    listed = _ask_smi("gpu", "index", "uuid", "memory.used")
    _last.clear()
    _last[path] = (time.monotonic(), listed)
    return listed


def _visible(named: str) -> List[str]:
    """As CUDA reads it: names after the first invalid one do not count."""
    names: List[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not name or name.startswith("-") or name in names:
            break
        names.append(name)
    return names


def _ask_smi(what: str, *fields: str) -> Optional[List[List[str]]]:
    argv = ["nvidia-smi", "--query-%s=%s" % (what, ",".join(fields))]
    done = process.output([*argv, "--format=csv,noheader,nounits"], TIMEOUT_S)
    if not done.ok:
        return None
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [[field.strip() for field in row] for row in rows if len(row) == len(fields)]


def _ask_torch(python: str) -> int:
    done = process.output([python, "-I", "-c", _TORCH], TIMEOUT_S)
    count = done.stdout.strip()
    return int(count) if done.ok and count.isdigit() else 0
