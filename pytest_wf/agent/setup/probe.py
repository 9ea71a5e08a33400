"""Facts about the pod: tools, memory, disks, GPUs, and which of the config's paths are usable."""

import csv
import os
import platform
import re
import shutil
import time
from typing import Any, Dict, List, Optional, Sequence

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.control.request import Args, Result, Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.executor import executor_of

#: The config's keys that name places on the pod.
PATH_KEYS = (
    "OPS_REMOTE_REPO",
    "OPS_REMOTE_OUTPUTS_DIR",
    "DATA_DIR",
    "HF_HOME",
    "REMOTE_ENV_PATH",
    "RUN_OUT_LOCAL_ROOT",
)

_VERSION_FLAGS = {"git": "--version", "tmux": "-V", "rsync": "--version", "uv": "--version"}
_TIMEOUT_S = 20.0


def probe(session: Session, _args: Args) -> Result:
    """The facts; nothing is changed."""
    return {
        "os": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "tools": tools(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "disk": _disks(session.settings),
        "gpus": gpus(),
        "paths": _paths(session.settings),
        "sudo": can_become_root(),
        "time": clock.now(),
        "unix_time_s": round(time.time(), 3),
        **executor_of(session.settings).facts(),
    }


def tools() -> Dict[str, Optional[str]]:
    """The version of git, tmux, rsync and uv; None if a tool is missing or does not answer."""
    found: Dict[str, Optional[str]] = {}
    for name, flag in _VERSION_FLAGS.items():
        said = _output([name, flag])
        version = re.search(r"\d+(?:\.\w+)+", said or "")
        found[name] = version.group(0) if version else said or None
    return found


def gpus() -> List[Dict[str, Any]]:
    """The GPUs that nvidia-smi lists, and who uses them; none if it is absent or fails."""
    listed = []
    by_uuid: Dict[str, List[Dict[str, Any]]] = {}
    for row in _smi("gpu", "index", "name", "memory.total", "driver_version", "uuid"):
        busy = by_uuid.setdefault(row[4], [])
        gpu = {"index": int(row[0]), "name": row[1], "memory_mib": _whole(row[2])}
        listed.append(dict(gpu, driver=row[3], uuid=row[4], cuda=None, busy=busy))
    if not listed:
        return []
    for uuid, pid, name, used in _smi(
        "compute-apps", "gpu_uuid", "pid", "process_name", "used_memory"
    ):
        by_uuid.get(uuid, []).append({"pid": _whole(pid), "name": name, "used_mib": _whole(used)})
    cuda = re.search(r"CUDA Version:\s*([\d.]+)", _output(["nvidia-smi"]) or "")
    return [dict(gpu, cuda=cuda.group(1) if cuda else None) for gpu in listed]


def busy_gpus(listed: Sequence[Dict[str, Any]]) -> List[str]:
    """A line for each GPU that is in use, with the pids."""
    told = []
    for gpu in listed:
        users = ["pid %s (%s, %s MiB)" % (u["pid"], u["name"], u["used_mib"]) for u in gpu["busy"]]
        if users:
            told.append("GPU %d is in use by %s" % (gpu["index"], ", ".join(users)))
    return told


def _smi(what: str, *fields: str) -> List[List[str]]:
    query = "--query-%s=%s" % (what, ",".join(fields))
    said = _output(["nvidia-smi", query, "--format=csv,noheader,nounits"])
    rows = csv.reader((said or "").splitlines(), skipinitialspace=True)
    whole = [row for row in rows if len(row) == len(fields)]
    return [row for row in whole if what != "gpu" or row[0].isdigit()]


def _whole(text: str) -> Optional[int]:
    return int(text) if text.isdigit() else None


def can_become_root() -> bool:
    """Whether commands can be run as root without a password."""
    if os.geteuid() == 0:
        return True
    return shutil.which("sudo") is not None and _output(["sudo", "-n", "true"]) is not None


def _disks(settings: Settings) -> List[Dict[str, Any]]:
    disks: Dict[int, Dict[str, Any]] = {}
    for key in PATH_KEYS:
        path = settings[key]
        if path.startswith("/"):
            where = nearest(path)
            space = os.statvfs(where)
            found = {"path": where, "free_bytes": space.f_bavail * space.f_frsize}
            disks.setdefault(os.stat(where).st_dev, found)
    return list(disks.values())


def _paths(settings: Settings) -> Dict[str, Any]:
    paths = {}
    for key in PATH_KEYS:
        path = settings[key]
        if path:
            paths[key] = {
                "path": path,
                "exists": os.path.exists(path),
                "writable": os.access(nearest(path), os.W_OK),
            }
    return paths


def nearest(path: str) -> str:
    """`path`, or the nearest directory above it that exists."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _output(argv: Sequence[str]) -> Optional[str]:
    """What `argv` prints; None if it is absent, fails or takes too long."""
    done = process.output(argv, _TIMEOUT_S)
    return done.stdout.strip() if done.ok else None
