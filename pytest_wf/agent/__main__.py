"""The agent's command line. Each word imports what it needs: a sweep starts many processes."""

import importlib
import sys
from typing import Dict, List, Tuple

#: What each word calls: the module, and the function that takes the words after it.
_WORDS: Dict[str, Tuple[str, str]] = {
    "serve": ("server.dispatch", "serve_main"),
    "operation": ("server.detached_child", "operation_main"),
    "queue": ("sweep.supervisor", "queue_main"),
    "attempt": ("run.attempt", "attempt_main"),
    "task": ("tasks.runner", "task_main"),
    "archive": ("results.archive", "archive_main"),
    "receive": ("server.upload", "receive_main"),
}


def main(words: List[str]) -> int:
    """Do what `words` say; the exit status."""
    if not words or words[0] not in _WORDS:
        print("not a word of the agent: %s" % " ".join(words[:1]), file=sys.stderr)
        return 2
    module, function = _WORDS[words[0]]
    found = getattr(importlib.import_module("pytest_wf.agent." + module), function)
    status: int = found(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
