"""The agent's command line. Each command imports what it needs, to start fast."""

import importlib
import signal
import sys
from typing import Dict, List, Tuple

#: Each command: the module, and the function that takes the words after it.
_COMMANDS: Dict[str, Tuple[str, str]] = {
    "serve": ("server.dispatch", "serve_main"),
    "operation": ("server.detached_child", "operation_main"),
    "queue": ("sweep.supervisor", "queue_main"),
    "attempt": ("run.attempt", "attempt_main"),
    "task": ("tasks.runner", "task_main"),
    "archive": ("results.archive", "archive_main"),
    "receive": ("server.upload", "receive_main"),
}


def main(words: List[str]) -> int:
    """Run the command in `words`; the exit status."""
    if not words or words[0] not in _COMMANDS:
        print("unknown agent command: %s" % " ".join(words[:1]), file=sys.stderr)
        return 2
    # a process that is asked to end leaves no traceback in a log that users read
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module, function = _COMMANDS[words[0]]
    found = getattr(importlib.import_module("pytest_wf.agent." + module), function)
    status: int = found(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
