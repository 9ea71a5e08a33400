"""The faults that the suite injects, and which tests show what happens.

A test that shows a fault's outcome has the mark `fault` with its id. `docs/faults.md` is made from
this table: ``python -m tests.support.faults > docs/faults.md``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import NamedTuple

from tests.support import ROOT


class Fault(NamedTuple):
    """What breaks, and what happens then."""

    id: str
    breaks: str
    expected: str


SUBJECTS = {
    "N": "Network and SSH",
    "P": "Processes on the pod",
    "C": "The controller",
    "D": "The pod's disks",
    "S": "Control files and results",
    "F": "What changes in mid-flow",
    "A": "Auditors",
    "T": "Teardown",
    "R": "The CSV of rows",
    "X": "Hostile values and secrets",
}

FAULTS = [
    Fault("N1", "The link breaks while something is read", "It is opened anew and the same asked."),
    Fault(
        "N2",
        "The link breaks in the middle of a change",
        "The work is found by the request's id and done once.",
    ),
    Fault(
        "N3",
        "The link breaks in the middle of an upload",
        "It is sent again; the final name holds a verified file or nothing.",
    ),
    Fault(
        "N4",
        "The link breaks in the middle of a fetch",
        "The fetch goes on where it was cut; a run is there when every digest fits.",
    ),
    Fault(
        "N5",
        "Packets are dropped both ways, while the link is idle and while it is busy",
        "The dead link is noticed within its time limit; the sweep goes on.",
    ),
    Fault(
        "N6",
        "The pod is unreachable for a while and comes back",
        "The flow goes on; the log has no gap and nothing twice.",
    ),
    Fault("N7", "Packet loss, latency and little bandwidth", "Slow and right."),
    Fault(
        "N8",
        "The link breaks every few seconds",
        "There is progress, or the flow gives up after a bounded time.",
    ),
    Fault("N9", "The SSH server is restarted", "Sessions go on, or the link is opened anew."),
    Fault(
        "N10",
        "The SSH server refuses: too many sessions, no authentication, no banner",
        "What may pass is waited for; a failed authentication is not tried again.",
    ),
    Fault(
        "N11",
        "The host key changes in mid-flow",
        "The flow stops with both fingerprints; nothing is sent, and there is no login.",
    ),
    Fault(
        "N12",
        "Another pod answers at the same address",
        "The flow stops, runs nothing there and deletes nothing there.",
    ),
    Fault(
        "N13",
        "The server resets the key exchange, sends a banner of rubbish, or one without an end",
        "An error within the banner's time limit; memory is bounded.",
    ),
    Fault(
        "P1",
        "The pod reboots in any phase",
        "Rows that had ended stay; what ran is lost until it is resumed as a further attempt.",
    ),
    Fault(
        "P2",
        "The pod's container restarts under the same boot id",
        "It is seen by the start time of its processes; as P1.",
    ),
    Fault(
        "P3",
        "The pod is gone for good",
        "Its rows are unknown; the flow ends; what was fetched is whole.",
    ),
    Fault(
        "P4",
        "tmux is killed, or its socket removed",
        "Runs go on: tmux only shows them, and decides nothing.",
    ),
    Fault(
        "P5",
        "A tmux session that the flow did not make has the same name, or begins with it",
        "It is neither used nor ended.",
    ),
    Fault(
        "P6",
        "The supervisor or a runner is killed while its training lives",
        "The training is adopted or ended; none begins a second time beside it.",
    ),
    Fault("P7", "A process id is used again", "The stranger is neither taken for ours nor killed."),
    Fault(
        "P8",
        "torchrun is killed and leaves its workers",
        "They are found and ended before the row has ended.",
    ),
    Fault(
        "P9",
        "A worker ignores SIGTERM, or cannot be killed",
        "SIGKILL follows the grace; what is still alive is named.",
    ),
    Fault("P10", "The kernel kills a run for its memory", "Its failure class is `oom`."),
    Fault(
        "P11",
        "A training hangs without a word",
        "It is ended as stalled, with its stacks where py-spy is there.",
    ),
    Fault("P12", "A training is silent and healthy", "It is left alone."),
    Fault(
        "P13",
        "A run, a sweep or a phase takes too long",
        "That one alone ends, as timed out; others go on by the policy.",
    ),
    Fault(
        "P14",
        "A spot pod is given notice: SIGTERM, then SIGKILL",
        "The attempt is recorded as preempted at once; earlier results stay.",
    ),
    Fault(
        "P15",
        "A clock is hours off, or steps in the middle of a run",
        "No time limit follows the wall clock; the difference is reported.",
    ),
    Fault("P16", "The GPU is in use by others", "The row waits, or the flow says who uses it."),
    Fault(
        "P17",
        "A run writes gigabytes of log",
        "The tail is shown at once; agent and controller stay small.",
    ),
    Fault(
        "P18",
        "A log has no newline, NUL, invalid UTF-8 or terminal escapes",
        "It is shown harmless, and its bytes are kept.",
    ),
    Fault("C1", "The controller is killed at any moment", "A resume reaches the same end."),
    Fault(
        "C2",
        "SIGINT once or twice, SIGTERM, SIGHUP",
        "Teardown and summary are done, the sweep lives on; the second time ends at once.",
    ),
    Fault(
        "C3",
        "The power fails",
        "Every file is flushed before it gets its name, and its folder behind it.",
    ),
    Fault(
        "C4",
        "The controller sleeps for a while and wakes",
        "It goes on, or stops where another has taken over.",
    ),
    Fault(
        "C5",
        "Two controllers start at once",
        "One has the pod; the other says who, since when, and what to do.",
    ),
    Fault(
        "C6",
        "A controller sleeps, another takes over, the first wakes",
        "No write of the first one lands.",
    ),
    Fault(
        "C7",
        "An owner died and left its lease",
        "It is taken over when it has expired by the pod's clock, or the owner is proved gone.",
    ),
    Fault(
        "C8",
        "The local disk is full, read-only, over its quota, or fails to flush",
        "The flow stops; old files are whole; it can be resumed.",
    ),
    Fault(
        "C9",
        "Few file descriptors, no place for temporary files, no HOME, another locale",
        "It works, or a clear error says what is missing.",
    ),
    Fault(
        "D1",
        "The pod's disk fills before or in a run, or while its result is written",
        "The row ends as `disk-full`; its result is written all the same.",
    ),
    Fault("D2", "The pod's disk has no inodes left", "As D1, with inodes named."),
    Fault(
        "D3",
        "A volume becomes read-only or stale",
        "The flow stops with its name; results can still be fetched.",
    ),
    Fault(
        "D4",
        "The volume behaves like s3fs: renames are copies, reads may be old",
        "It is refused for control files: an object store by its kind, others by a trial.",
    ),
    Fault(
        "S1",
        "A status file is cut short, empty, NUL or rubbish",
        "It is unreadable: never running, never a success.",
    ),
    Fault(
        "S2",
        "A status says success, and the summary is missing or of another run",
        "It is not believed.",
    ),
    Fault(
        "S3",
        "A summary has NaN, a million keys, a gigabyte, or deep nesting",
        "It is bounded before it is parsed, and strict.",
    ),
    Fault(
        "S4",
        "The state file is missing, empty or damaged",
        "Its second copy counts, and this is said; else it is refused with a way on.",
    ),
    Fault(
        "S5",
        "The state is of another version",
        "It is refused, and the file is left as it is.",
    ),
    Fault(
        "S6",
        "The pod's state and the local evidence disagree",
        "It is refused, and both are named.",
    ),
    Fault(
        "S7",
        "Evidence is cut short, changed in its middle, or given another head",
        "A torn last line is a crash and noted; anything else is not believed.",
    ),
    Fault("F1", "The config is edited", "The flow stops and names it."),
    Fault("F2", "The target changes", "The flow stops before it connects to the new one."),
    Fault(
        "F3",
        "The CSV is edited while its sweep runs",
        "A resume names the rows that differ; ended rows keep what they were.",
    ),
    Fault(
        "F4",
        "The git remote is gone, closed, or has moved its branch",
        "A pinned commit that is there is used; else the flow stops.",
    ),
    Fault(
        "F5",
        "The checkout is changed, shallow, or has submodules, LFS pointers, filters or hooks",
        "It is refused or reported; no change of the user is used or lost, no hook runs.",
    ),
    Fault(
        "F6",
        "The commit is wrong, short, or a branch is named like one",
        "Whole commits only, compared with what is checked out.",
    ),
    Fault(
        "F7",
        "The venv has a torch of its own, another Python, or is broken",
        "P50 fails and says how to go on.",
    ),
    Fault("F8", "A flow that is complete is resumed", "Nothing is done a second time."),
    Fault("A1", "The auditor hangs", "It is killed with all its processes, and the phase fails."),
    Fault("A2", "The auditor crashes, says nothing, or fails with a pass", "The phase fails."),
    Fault("A3", "The auditor answers with anything but one valid verdict", "The phase fails."),
    Fault(
        "A4",
        "The auditor writes without end",
        "It is ended at a limit; there is no deadlock, and memory is bounded.",
    ),
    Fault(
        "A5",
        "The auditor writes files, looks for secrets or leaves daemons",
        "It has no secret, what it touched of the evidence is found, and its processes end; it is "
        "in no sandbox and may use the network.",
    ),
    Fault(
        "A6",
        "A log asks the auditor to approve",
        "A pass counts for this evidence alone, and overrules no failed check.",
    ),
    Fault("T1", "Results are not here or not verified", "The pod is not deleted."),
    Fault(
        "T2",
        "The link breaks in the middle of a deletion",
        "It is done again; only what is listed as ours goes.",
    ),
    Fault("T3", "A link or a mount is in what is deleted", "It is not followed and not crossed."),
    Fault(
        "T4",
        "A kept pod's lease expires",
        "Another controller may take the pod; everything is still there.",
    ),
    Fault("R1", "10,000 rows", "They are read and planned within seconds."),
    Fault("R2", "Ids in Unicode", "They are refused by name."),
    Fault("R3", "CRLF, lone CR, or both", "They mean a line's end like any other."),
    Fault("R4", "A byte order mark", "It is no part of the first column's name."),
    Fault(
        "R5",
        "An id twice, also by case or Unicode form",
        "It is refused with both lines.",
    ),
    Fault("R6", "An id that is a path", "It is refused, and leads nowhere."),
    Fault(
        "X1",
        "Shell metacharacters in any value",
        "They arrive byte for byte or are refused; none is run.",
    ),
    Fault("X2", "Secrets in any form, anywhere", "They are found nowhere on either side."),
]

#: Faults that no test has the mark of yet.
WITHOUT_TEST: set[str] = set("".split())


def marked_tests(mark: str = "fault") -> dict[str, list[str]]:
    """`file::test` of all tests by the ids in their marks; nothing is imported."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, id in _marks(path.read_text(), f"mark.{mark}"):
            tests = found.setdefault(id, [])
            test = f"{path.relative_to(ROOT).as_posix()}::{name}"
            if test not in tests:
                tests.append(test)
    return found


def _marks(source: str, wanted: str) -> Iterator[tuple[str, str]]:
    if f"{wanted}(" not in source:
        return
    for test in ast.walk(ast.parse(source)):
        if isinstance(test, ast.FunctionDef):
            for mark in (node for line in test.decorator_list for node in ast.walk(line)):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"pytest.{wanted}":
                    for id in mark.args:
                        yield test.name, ast.literal_eval(id)


def page() -> str:
    """docs/faults.md."""
    tests = marked_tests()
    lines = [
        "<!-- made by `make docs`: change tests/support/faults.py -->",
        "# Faults",
        "",
        "What may break, what happens then, and the tests that show it. A test names its faults",
        'with `@pytest.mark.fault("N1")`; `make docs` brings this page up to date.',
    ]
    for letter, subject in SUBJECTS.items():
        lines += ["", f"## {subject}", "", "| | what breaks | what happens | tests |"]
        lines += ["|---|---|---|---|"]
        for fault in (fault for fault in FAULTS if fault.id[0] == letter):
            shown = "<br>".join(f"`{short(test)}`" for test in tests.get(fault.id, []))
            lines.append(f"| {fault.id} | {fault.breaks} | {fault.expected} | {shown} |")
    return "\n".join(lines) + "\n"


def short(test: str) -> str:
    """A test as the pages name it."""
    return test.replace("tests/", "", 1).replace("::test_", "::")


if __name__ == "__main__":
    sys.stdout.write(page())
