"""Slurm's own client programs: each call has a deadline, and may have no answer.

A controller that does not answer blocks a client for a long time, and some calls for ever. A call
without an answer raises `Silent`, which is neither success nor failure.
"""

import os
import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from pytest_wf.agent import process
from pytest_wf.wire.safe_text import excerpt

#: The longest that a client may take to answer.
DEADLINE_S = 30.0
#: The variables of the login that the clients, and through them the jobs, get: `sbatch` keeps a
#: copy of its whole environment on a disk.
_KEPT = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "SLURM_CONF", "USER")
_FIELDS = "%F|%K|%T|%e|%r|%j"
_PARSED = re.compile(r"(\d+)\|(\d+|N/A)\|([A-Z_]+)\|([^|]*)\|([^|]*)\|([^|]+)")

#: In place of an index: all tasks of an array that never began and were ended together by
#: `scancel`.
REST = -1


class Silent(Exception):
    """Slurm gave no answer, or refused; the request may have been carried out all the same."""


class Task(NamedTuple):
    """One task of a job array, as `squeue` lists it."""

    array: int
    #: From 0, or `REST`.
    index: int  # type: ignore[assignment]  # a task is never searched as a tuple
    #: The state in Slurm's terms, such as RUNNING.
    state: str
    #: Unix time of its end; None if it has not ended.
    ended_at: Optional[int]
    #: Why it waits, such as Resources.
    reason: str
    #: The name of the array.
    name: str


class Limits(NamedTuple):
    """What a cluster reports of itself."""

    version: str
    #: How many tasks an array may have.
    max_array: int
    #: Each partition with its state, longest time, number of nodes and GPUs a node.
    partitions: List[Dict[str, str]]

    def gpus(self, partition: str) -> int:
        """How many GPUs a node of `partition` has at most; of any if that is ''."""
        mine = [p for p in self.partitions if partition in ("", p["name"].rstrip("*"))]
        return max((gpus_in(p["gres"]) for p in mine), default=0)


def environ(environment: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """The environment of a client, made from `environment`, this process's by default."""
    given = os.environ if environment is None else environment
    env = {name: given[name] for name in _KEPT if name in given}
    return {**env, "LC_ALL": "C.UTF-8", "SLURM_TIME_FORMAT": "%s"}


def submit(options: Sequence[str], script: str) -> int:
    """The id of the array that `sbatch` made of `script`. Raises Silent."""
    said = _ask(["sbatch", "--parsable", *options, script])
    number = said.strip().partition(";")[0]  # the cluster follows, if there are several
    if not number.isdigit():
        raise Silent("sbatch answered %s" % excerpt(said))
    return int(number)


def tasks(names: Iterable[str]) -> List[Task]:
    """All tasks of the arrays called `names` that Slurm still knows, ended ones too.

    Raises Silent.
    """
    named = ",".join(names)
    if not named:
        return []
    argv = ["squeue", "--noheader", "--array", "--states=all", "--user=%d" % os.getuid()]
    return parsed(_ask([*argv, "--name=" + named, "--format=" + _FIELDS]))


def array_called(name: str) -> Optional[int]:
    """The id of the array of that name; None if Slurm knows none. Raises Silent."""
    return next((task.array for task in tasks([name])), None)


def parsed(listing: str) -> List[Task]:
    """The tasks in what `squeue` printed. Raises Silent for a malformed line."""
    found = []
    for line in listing.splitlines():
        match = _PARSED.fullmatch(line.strip())
        if match is None:
            raise Silent("squeue answered %s" % excerpt(line))
        array, index, state, ended_at, reason, name = match.groups()
        end = int(ended_at) if ended_at.isdigit() else None
        number = REST if index == "N/A" else int(index)
        found.append(Task(int(array), number, state, end, reason, name))
    return found


def cancel(names: Iterable[str], *options: str) -> None:
    """`scancel` all tasks of the arrays called `names`. Raises Silent."""
    for name in names:
        _ask(["scancel", "--quiet", *options, "--user=%d" % os.getuid(), "--name=" + name])


def cancel_task(array: int, index: int) -> None:
    """`scancel` one task. Raises Silent."""
    _ask(["scancel", "--quiet", "%d_%d" % (array, index)])


def requeue(job: str, env: Dict[str, str]) -> None:
    """Ask Slurm to put the job `job` into the queue again. Raises Silent."""
    _ask(["scontrol", "requeue", job], env)


def run_on_node(options: Sequence[str], argv: Sequence[str], within_s: int) -> str:
    """What `argv` prints on a node that is free within `within_s` seconds. Raises Silent."""
    found = ["srun", "--quiet", "--immediate=%d" % within_s, "--nodes=1", "--ntasks=1", *options]
    return _ask([*found, *argv], timeout_s=within_s + DEADLINE_S)


def limits() -> Limits:
    """What the cluster reports of itself. Raises Silent."""
    config = dict(_settings(_ask(["scontrol", "show", "config"])))
    version = _ask(["sinfo", "--version"]).strip().rpartition(" ")[2]
    max_array = config.get("MaxArraySize", "")
    names = ("name", "state", "time", "nodes", "gres")
    listed = _ask(["sinfo", "--noheader", "--format=%P|%a|%l|%D|%G"]).splitlines()
    partitions = [dict(zip(names, line.strip().split("|"))) for line in listed]
    if not max_array.isdigit() or any(len(p) != len(names) for p in partitions):
        raise Silent("scontrol and sinfo answered in another form than that of Slurm %s" % version)
    return Limits(version, int(max_array), partitions)


def gpus_in(gres: str) -> int:
    """The number of GPUs in a list of generic resources, such as ``gpu:a100:4(S:0-1),shard:8``."""
    plain = re.sub(r"\([^)]*\)", "", gres)
    counts = re.findall(r"(?:^|,)gpu(?::[^:,]+)*?:(\d+)(?=,|$)", plain)
    return sum(int(count) for count in counts)


def _settings(text: str) -> Iterable[Tuple[str, str]]:
    for line in text.splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting:
            yield name.strip(), value.strip()


def _ask(
    argv: Sequence[str],
    env: Optional[Dict[str, str]] = None,
    timeout_s: float = DEADLINE_S,
) -> str:
    done = process.output(argv, timeout_s, env=env or environ())
    if done.ok:
        return done.stdout
    why = excerpt(done.stderr.strip()) or "exit status %s" % done.code
    raise Silent("%s: %s" % (argv[0], why))
