"""How a command ended, written to disk before anything else: ``exit.json``.

The runner may be killed at any instruction between the command's end and the result. The attempt or
the task is then judged by this file. Until it is written, the ended command stays a zombie, whose
status the subreaper that inherits it from the runner can read.
"""

import os
from typing import Any, Dict, NamedTuple, Optional

from pytest_wf.agent.control import clock
from pytest_wf.agent.run.run_dir import Unreadable, read_object
from pytest_wf.wire.files import write_json

SCHEMA = 1
NAME = "exit.json"


class Exit(NamedTuple):
    """The end of a command."""

    #: As in `Popen.returncode`: below 0 for a signal.
    status: int
    ended_at: Optional[str]
    #: The fields of the runner's own reason to end the command, if it had one.
    ending: Optional[Dict[str, Any]]


def write(folder: str, status: int, ending: Optional[Dict[str, Any]]) -> None:
    """Write the end of the command of the attempt or task in `folder`. Raises OSError."""
    body = Exit(status, clock.now(), ending)._asdict()
    write_json(os.path.join(folder, NAME), dict(body, schema=SCHEMA))


def read(folder: str) -> Optional[Exit]:
    """The end of the command of the attempt or task in `folder`; None if it is unknown."""
    try:
        found = read_object(os.path.join(folder, NAME))
    except Unreadable:
        return None
    status = found.get("status") if found else None
    if found is None or type(status) is not int:
        return None
    ending = found.get("ending")
    return Exit(status, found.get("ended_at"), ending if isinstance(ending, dict) else None)
