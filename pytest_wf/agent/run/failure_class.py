"""Why an attempt ended badly: one class, and the line of the log that decided.

The classes are coarse on purpose: `agent.sweep.retry` uses them to decide about another try. A
cause comes before its consequences: when one rank runs out of memory, the others report NCCL
errors, so memory is above NCCL in the table. Within a class the first line that matches decides;
the source that a traceback quotes does not.
"""

import re
import signal
from typing import List, NamedTuple, Optional, Pattern, Sequence, Tuple

#: How many lines from the end of a log are searched.
TAIL_LINES = 200
#: How much of a line is kept, in characters.
LINE_CHARS = 500


class Cause(NamedTuple):
    """The class of a failure and the line, or the fact, that decided it."""

    failure_class: str
    reason: str


def _any(*patterns: str) -> Pattern[str]:
    return re.compile("|".join(patterns))


_TABLE: Tuple[Tuple[str, Pattern[str]], ...] = (
    (
        "oom",
        _any(
            r"CUDA out of memory",
            r"CUDA error: out of memory",
            r"\bOutOfMemoryError\b",
            r"\bMemoryError\b",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"not enough memory: you tried to allocate",
            r"Cannot allocate memory",
            r"oom-kill",
            r"Out of memory: Killed process",
        ),
    ),
    (
        "disk_full",
        _any(r"No space left on device", r"Disk quota exceeded", r"\bENOSPC\b", r"\bEDQUOT\b"),
    ),
    (
        "import",
        _any(
            r"\bModuleNotFoundError\b",
            r"\bImportError\b",
            r"cannot open shared object file",
            r"undefined symbol: ",
        ),
    ),
    (
        "data",
        _any(
            r"magic number mismatch in the data",
            r"did not find any files that match the pattern",
            r"number of tokens read does not match",
            r"\b[Ss]hard\b.*\b(missing|corrupt|truncated|bad header|not found)\b",
            r"(FileNotFoundError|No such file or directory).*"
            r"\.(bin|npy|npz|parquet|arrow|jsonl|tar|h5|hdf5|idx|txt|csv|zst|gz)\b",
            r"\bDatasetNotFoundError\b|\bDataFilesNotFoundError\b",
        ),
    ),
    (
        "nccl",
        _any(
            r"NCCL error",
            r"\bNCCL WARN\b.*(error|failed|timed out)",
            r"\bnccl(System|Internal|Remote|UnhandledCuda|InvalidUsage)\w*",
            r"Watchdog caught collective operation timeout",
            r"\bDistBackendError\b",
            r"\bDistNetworkError\b|\bDistStoreError\b|\bRendezvous\w*Error\b",
            r"Gloo connect\w* failed",
        ),
    ),
    (
        "cuda",
        _any(
            r"CUDA error",
            r"\bcudaError\w+",
            r"\bCUDNN_STATUS_\w+",
            r"\bCUBLAS_STATUS_\w+",
            r"no CUDA-capable device",
            r"Found no NVIDIA driver",
            r"no kernel image is available",
            r"device-side assert",
            r"uncorrectable ECC error",
            r"\bNVRM: Xid\b",
        ),
    ),
    # the launcher's own line when it gets SIGTERM; that of a rank is mostly a consequence
    ("preempted", _any(r"got signal: 15\b", r"[Pp]reemption notice")),
)

#: These may be consequences of a killed rank, which torchrun's summary distinguishes.
_ECHOES = ("nccl", "cuda")
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGKILL)
_ROOT_CAUSE = re.compile(r"Root Cause \(first observed failure\)")
_ROOT_EXIT = re.compile(r"exitcode\s*:\s*-(\d+)\b")

#: accelerate's line about a trainer that a signal ended.
_DIED = re.compile(r"\bCalledProcessError\b.* died with <Signals\.\w+: (\d+)>")

_KILL = re.compile(r"\bSIGKILL\b|signal: Killed|signal:? 9\b|exitcode\s*:\s*-9\b|^Killed$")
# torchrun's own summary of a dead worker does not name the cause
_EXCEPTION = re.compile(
    r"(?:^|\s)(?!.*ChildFailedError)(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception)\b"
)
#: The same at the beginning of a line: the end of a traceback, not a line of source.
_RAISED = re.compile(
    r"(?:\[[\w:]+\]:?\s*)*(?!.*ChildFailedError)(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception)\b"
)
#: An exception without a message.
_BARE = re.compile(r"(?:Error|Exception):?\s*$")
#: Errors of argparse, and of parsers that write as it does, about a command line. The only
#: traceback after them is that of a launcher.
_USAGE = re.compile(
    r"(?:\S+: )?error: "
    r"(?:argument |the following arguments |unrecognized arguments|ambiguous option)"
)
#: Hydra's error about a config that it cannot compose, without a traceback.
_NOT_COMPOSED = re.compile(r"(?:In '.*': )?(?:Could not \w+ '|Cannot find primary config)")
#: The prefix by which a line names its rank.
_RANK = r"^(?:\[[\w:]+\]:?)?\s*"
#: A place in a traceback. Its source is the next line, if Python has it.
_PLACE = re.compile(_RANK + r"(File \".*\", line \d+)")
#: A line within a traceback, such as a source: it is indented, and the error at the end is not.
_INDENTED = re.compile(r"(?:\[[\w:]+\]:?)?\s{2}")
TIMESTAMP = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z ")


def classify(
    exit_code: int, ended_by: Optional[int], tail: Sequence[str], oom_kills: int = 0
) -> Cause:
    """The cause of a bad end.

    `exit_code` is the shell's (128 + n for signal n), `ended_by` the signal that ended the command,
    if one did. `tail` are the last lines of its log; `oom_kills` is how often the kernel killed for
    memory in this container meanwhile.
    """
    lines = [TIMESTAMP.sub("", line)[:LINE_CHARS] for line in tail[-TAIL_LINES:]]
    if oom_kills > 0:
        return Cause("oom", "the kernel killed %d processes for memory meanwhile" % oom_kills)
    number = ended_by or (exit_code - 128 if exit_code > 128 else 0)
    first_rank = _signal_of_root_cause(lines)
    said = _without_sources(lines)
    for failure_class, pattern in _TABLE:
        # NCCL's own watchdog aborts, which is not a kill from outside
        if first_rank in _FROM_OUTSIDE and failure_class in _ECHOES:
            continue
        for line in said:
            if pattern.search(line):
                return Cause(failure_class, line.strip())
    number = first_rank or number
    if number in _FROM_OUTSIDE:
        who = "a rank was" if first_rank else "it was"
        reason = "%s killed by %s (not sent by pytest-wf)" % (who, signal_name(number))
        return Cause("preempted" if number == signal.SIGTERM else "killed", reason)
    if number and (ended_by or first_rank):
        return Cause("user", _last(lines, "ended by %s" % signal_name(number)))
    return Cause("user", _last(lines, "ended with status %d" % exit_code))


def was_killed(status: int, tail: Sequence[str]) -> bool:
    """Whether a command's status or its log says that SIGKILL ended a process of it."""
    killed = (-signal.SIGKILL, 128 + signal.SIGKILL)
    return status in killed or any(_KILL.search(line) for line in tail[-TAIL_LINES:])


def signal_name(number: int) -> str:
    """The name of a signal, 'signal 77' if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def _without_sources(lines: Sequence[str]) -> List[str]:
    """The lines but for sources in tracebacks, which may contain any error's text."""
    sources = {n + 1 for n, line in enumerate(lines) if _PLACE.search(line)}
    return [line for n, line in enumerate(lines) if n not in sources or not _INDENTED.match(line)]


def _raised_by(before: Sequence[str]) -> str:
    """The source line and the place that a traceback, which ends with `before`, names last."""
    for n in range(len(before) - 1, -1, -1):
        place = _PLACE.search(before[n])
        if place:
            source = re.sub(_RANK, "", before[n + 1]) if n + 1 < len(before) else ""
            return ": %s (%s)" % (source, place.group(1)) if source else ": " + place.group(1)
    return ""


def _signal_of_root_cause(lines: Sequence[str]) -> int:
    """The signal that ended the process that failed first, by its launcher; 0 if none did."""
    for line in lines[::-1]:
        died = _DIED.search(line)
        if died:
            return int(died.group(1))
    starts = [i for i, line in enumerate(lines) if _ROOT_CAUSE.search(line)]
    for line in lines[starts[-1] :] if starts else ():
        found = _ROOT_EXIT.search(line)
        if found:
            return int(found.group(1))
    return 0


def _last(lines: Sequence[str], otherwise: str) -> str:
    for is_one in (_USAGE.match, _RAISED.match, _EXCEPTION.search, _NOT_COMPOSED.match):
        for n, line in enumerate(lines):
            if is_one(line):
                return line.strip() + (_raised_by(lines[:n]) if _BARE.search(line) else "")
    said = [line.strip() for line in lines if line.strip()]
    return "%s; last line: %s" % (otherwise, said[-1]) if said else otherwise
