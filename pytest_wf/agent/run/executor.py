"""Executors: how the attempts of a campaign's rows are executed, and the table of them.

The supervisor decides which row begins, when it is tried again and how it ended; an executor
starts its runner (`agent attempt DIR`), says whether it is alive, and ends it. The runner keeps
the log, the time-out and the result, in the attempt's directory, wherever it runs.
"""

import importlib
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from pytest_wf.wire.states import PENDING, RUNNING, UNKNOWN

#: Identifies an attempt's runner to its executor. A JSON object, kept in the attempt's directory,
#: so that the successor of a killed supervisor can ask for the same runner.
Handle = Dict[str, Any]

#: Each executor by its name in WF_ENGINE: the module and the class.
EXECUTORS: Dict[str, str] = {
    "pod": "pytest_wf.agent.run.local_executor:LocalExecutor",
    "slurm": "pytest_wf.agent.run.slurm.executor:SlurmExecutor",
}


#: Seconds between two looks at attempts whose end no signal announces.
LOOK_S = 0.1


class Share(NamedTuple):
    """The GPUs that one attempt has."""

    names: List[str]
    #: Variables that restrict its processes to them; empty if they need no restriction.
    environment: Dict[str, str]
    #: Words in front of the launcher, which start it on each of several machines.
    prefix: Sequence[str] = ()


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
    """Starts, watches and ends the runners of attempts. Each process creates its own instance."""

    #: Whether attempts run on the machine of this process.
    runs_here = True
    #: Why the last `start` returned None, beyond a lack of room; shown to the user.
    waits_for = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def capacity(self) -> int:
        """How many GPUs one attempt can have at most."""

    def facts(self) -> Dict[str, Any]:
        """Facts about the executor that the flow records, by name; {} for none. Raises Refusal."""
        return {}

    def probe(self) -> Dict[str, Any]:
        """Facts about a machine that attempts run on, if it is not this one; else {}.

        Raises Refusal if that machine is not fit.
        """
        return {}

    def share(self, gpus: int) -> Optional[Share]:
        """The GPUs that an attempt would get now; None while there is no room for it."""
        return Share([str(index) for index in range(gpus or self.capacity())], {})

    @abstractmethod
    def start(self, job: Job) -> Optional[Handle]:
        """Start the runner of `job` and return at once; None if that is not possible now.

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
        """Whether the runner waits for its turn or runs; True if that cannot be determined.

        That is so for a handle that is newer than the last `poll`.
        """

    @abstractmethod
    def cancel(self, cookie: str, handle: Optional[Handle], grace_s: float) -> List[int]:
        """End all processes of an attempt: SIGTERM, and SIGKILL after `grace_s` seconds.

        `handle` is None if none was recorded. Returns the ids of the processes or jobs that could
        not be ended; an empty list is proof that nothing of the attempt runs.
        """


class Word(NamedTuple):
    """What a queue says of a row that it was given."""

    #: PENDING, RUNNING or UNKNOWN, as `wire.states` names them; '' if the row's job has ended.
    state: str
    #: What it waits for, or why nothing is known.
    reason: str
    #: For a job that has ended: state, failure class and reason of the row, unless its runner
    #: recorded more.
    judged: Optional[Dict[str, Any]] = None
    #: Seconds since its job ended; None if that is not known.
    ended_s: Optional[float] = None

    def is_same(self, before: Optional["Word"]) -> bool:
        """Whether it says what `before` said, however long ago the job ended."""
        return before is not None and before[:3] == self[:3]

    @property
    def is_open(self) -> bool:
        """Whether its job waits or runs, or may do so."""
        return self.state in (PENDING, RUNNING, UNKNOWN)


class QueueExecutor(Executor):
    """An executor that takes all rows at once and needs no supervisor: a cluster's queue.

    The job of a row begins its attempts itself (`sweep/cluster/queued_job.py`).
    """

    runs_here = False

    def start(self, job: Job) -> Optional[Handle]:  # noqa: ARG002
        """Raises Refusal: attempts begin in jobs."""
        raise Refusal(
            "launch",
            "WF_ENGINE=%s does not run a row outside its queue" % self.settings["WF_ENGINE"],
            "Leave out --wf-smoke: select one row by -k for a first try.",
        )

    @abstractmethod
    def submit(self, campaign: Campaign, rows: Sequence[Row]) -> None:
        """Give `rows` to the queue; those that it has from an earlier call stay as they are.

        If a call was interrupted, the next one completes it. Raises Refusal 'launch', OSError.
        """

    @abstractmethod
    def words(self, campaign: Campaign) -> Mapping[str, Word]:
        """What the queue says of each row of `campaign` that it knows, by run id.

        If it does not answer, every row that it was given is UNKNOWN.
        """

    @abstractmethod
    def said(self, campaign: Campaign, run_id: str) -> str:
        """What the row's newest job printed before an attempt began; '' for nothing."""

    @abstractmethod
    def withdraw(self, campaign: Campaign, *, waiting_only: bool) -> None:
        """Take the rows of `campaign` from the queue, those that run too unless `waiting_only`.

        Raises Refusal 'launch' if the queue does not answer.
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
