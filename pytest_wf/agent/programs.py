"""The agent's programs, by the word that starts each. A program imports what it needs."""

import importlib
import signal
import sys
from typing import BinaryIO, Callable, Dict, List, Sequence, Tuple

from pytest_wf.wire.process import heed_children

#: Each program: its module, and the function that takes the words after its own and its stdin.
PROGRAMS: Dict[str, Tuple[str, str]] = {
    "serve": ("server.dispatch", "serve_main"),
    "operation": ("server.detached_child", "operation_main"),
    "job": ("sweep.cluster.queued_job", "job_main"),
    "node-run": ("run.slurm.node_run", "node_main"),
    "probe-node": ("run.slurm.node_probe", "probe_main"),
    "queue": ("sweep.supervisor", "queue_main"),
    "attempt": ("run.attempt", "attempt_main"),
    "task": ("tasks.runner", "task_main"),
    "archive": ("results.archive", "archive_main"),
    "receive": ("server.upload", "receive_main"),
}


def run(words: Sequence[str], stdin: BinaryIO) -> int:
    """Run the program that `words` name; its exit status."""
    if not words or words[0] not in PROGRAMS:
        print("unknown agent command: %s" % " ".join(words[:1]), file=sys.stderr)
        return 2
    # a process that is asked to end leaves no traceback in a log that users read
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    heed_children()
    return load(words[0])(list(words[1:]), stdin)


def load(word: str) -> Callable[[List[str], BinaryIO], int]:
    """The program of that word, imported. Raises KeyError."""
    module, function = PROGRAMS[word]
    program: Callable[[List[str], BinaryIO], int] = getattr(
        importlib.import_module("pytest_wf.agent." + module), function
    )
    return program
