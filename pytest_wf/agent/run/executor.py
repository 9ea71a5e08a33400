"""Executors: how the attempts of a campaign's rows are executed, and the table of them.

The supervisor decides which row begins, when it is tried again and how it ended; an executor
starts its runner (`agent attempt DIR`), says whether it is alive, and ends it. The runner keeps
the log, the time-out and the result, in the attempt's directory, wherever it runs.
"""

import importlib
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal

#: Names an attempt's runner to its executor. A JSON object, kept in the attempt's directory,
#: so that whoever comes after a killed supervisor can ask for the same runner.
Handle = Dict[str, Any]

#: Each executor by its name in WF_ENGINE: the module and the class.
EXECUTORS: Dict[str, str] = {
    "pod": "pytest_wf.agent.run.local_executor:LocalExecutor",
}


#: Seconds between two looks at attempts whose ends nothing announces.
LOOK_S = 0.1


class Share(NamedTuple):
    """The GPUs that one attempt has."""

    names: List[str]
    #: Variables that restrict its processes to them; empty where they need no restriction.
    environment: Dict[str, str]


class Job(NamedTuple):
    """An attempt that is to be started."""

    #: The attempt's directory; `prepare` creates it.
    folder: str
    #: Unique name of the attempt, which all processes of its command carry as `WF_COOKIE`.
    cookie: str
    #: How many GPUs it asks for; 0 for as many as the executor gives by default.
    gpus: int
    #: Where the output of the runner itself is appended.
    log_path: str
    #: Creates the directory and returns what the runner reads on its stdin, secrets included:
    #: never write that to a disk. Call it once there is room for the attempt.
    prepare: Callable[[Share], bytes]


class Executor(ABC):
    """Starts, watches and ends the runners of attempts. Made anew by each process that asks."""

    #: Why the last `start` returned None, beyond a lack of room; shown to the user.
    waits_for = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def capacity(self) -> int:
        """How many GPUs one attempt can have at most."""

    def share(self, gpus: int) -> Optional[Share]:
        """The GPUs that an attempt would get now; None while there is no room for it."""
        return Share([str(index) for index in range(gpus or self.capacity())], {})

    @abstractmethod
    def start(self, job: Job) -> Optional[Handle]:
        """Start the runner of `job` and return at once; None where that is not possible now.

        The runner waits until its handle has been recorded. Raises OSError.
        """

    def poll(self, handles: Sequence[Handle]) -> None:  # noqa: B027 - not every one needs it
        """Update what is known, in one query; `handles` are all attempts under way.

        The supervisor calls it before it asks `is_alive` and before it calls `start`. Status,
        stop and resume ask `is_alive` without it.
        """

    def look_s(self) -> float:
        """Seconds until the supervisor has to call `poll` again, if no SIGCHLD wakes it before."""
        return LOOK_S

    @abstractmethod
    def is_alive(self, handle: Handle) -> bool:
        """Whether the runner waits for its turn or runs; True where that cannot be found out.

        A handle that is newer than the last `poll` is such a case.
        """

    @abstractmethod
    def cancel(self, cookie: str, handle: Optional[Handle], grace_s: float) -> List[int]:
        """End all processes of an attempt: SIGTERM, and SIGKILL after `grace_s` seconds.

        `handle` is None where none was recorded. Returns the ids of the processes or jobs that
        could not be ended; empty is proof that nothing of the attempt runs.
        """


def executor_of(settings: Settings) -> Executor:
    """The executor that WF_ENGINE names."""
    engine = settings["WF_ENGINE"]
    if engine not in EXECUTORS:
        raise Refusal(
            "launch",
            "this version of pytest-wf has no executor %r" % engine,
            "Use the installation that started the campaign, or set another WF_ENGINE.",
        )
    module, _, name = EXECUTORS[engine].partition(":")
    made: Executor = getattr(importlib.import_module(module), name)(settings)
    return made
