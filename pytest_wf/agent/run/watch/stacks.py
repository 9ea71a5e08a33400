"""The Python stacks of the processes of a stalled run, from py-spy."""

import os
import shutil
from typing import Iterable, Optional

from pytest_wf.agent import process

#: The most processes that are examined, and how long one may take.
MAX_PROCESSES = 16
TIMEOUT_S = 10.0
#: The most characters of one process's stacks that are kept.
MAX_CHARS = 64 * 1024


def dump(pids: Iterable[int], python: str) -> str:
    """The stacks of these processes; '' if py-spy is neither beside `python` nor on the PATH."""
    tool = _py_spy(python)
    if tool is None:
        return ""
    return "\n".join(_look(tool, pid) for pid in sorted(pids)[:MAX_PROCESSES])


def _py_spy(python: str) -> Optional[str]:
    beside = os.path.join(os.path.dirname(python), "py-spy")
    return beside if os.access(beside, os.X_OK) else shutil.which("py-spy")


def _look(tool: str, pid: int) -> str:
    done = process.output([tool, "dump", "--nonblocking", "--pid", str(pid)], TIMEOUT_S)
    said = (done.stdout + done.stderr)[:MAX_CHARS]
    return "pid %d\n%s" % (pid, said)
