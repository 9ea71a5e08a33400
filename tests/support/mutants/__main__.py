"""Changes the rules at places drawn by a seed, and looks whether their own tests find each change.

``python -m tests.support.mutants --count 400 --seed 1 --table FILE`` prints how many were found,
and writes a line for each. The modules of this checkout are changed in place and restored: use one
in which no one works. The tests that are named like the module run first, then all of its room.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import ROOT
from tests.support.mutants.changes import Change, changes

#: The rules, and the tests that show them.
ROOMS = {
    "pytest_wf/court": ("tests/court",),
    "pytest_wf/config": ("tests/config",),
    "pytest_wf/project/manifest.py": ("tests/project/test_manifest.py",),
    "pytest_wf/agent/run/metrics/log": ("tests/agent/run/metrics",),
    "pytest_wf/agent/run/metrics/numbers.py": ("tests/agent/run/metrics",),
    "pytest_wf/agent/run/metrics/values.py": ("tests/agent/run/metrics",),
    "pytest_wf/wire/fsm.py": ("tests/wire/test_fsm.py",),
    "pytest_wf/wire/states.py": ("tests/wire", "tests/console"),
    "pytest_wf/evidence/verify.py": ("tests/evidence",),
}
OPTIONS = ("-c", "tests/pytest.toml", "--rootdir=.", "-q", "-x", "-p", "no:cacheprovider")
#: Longer than this for one change is a time-out, in seconds.
TIMEOUT_SECS = 150.0
FOUND = ("found", "no start", "time-out")


class Mutant(NamedTuple):
    """A change of a module, and the tests of its room."""

    module: Path
    change: Change
    room: Sequence[str]

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.change.old, self.change.new))
        return f"{self.module.relative_to(ROOT)}:{self.change.line}\t{old}\t{new}"

    @property
    def named_tests(self) -> list[str]:
        """The test files of the room that are named like the module."""
        names = {f"test_{self.module.stem}.py", f"test_log_{self.module.stem}.py"}
        return [str(test) for part in self.room for test in _python(Path(part), names)]


def main() -> int:
    """0 if at least 90 % of the changes were found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="which changes are drawn")
    parser.add_argument("--table", type=Path, default=Path("mutants.table"), help="written to")
    parser.add_argument("--part", default="1/1", help="every n-th of them, from the k-th on: k/n")
    asked = parser.parse_args()
    os.chdir(ROOT)
    first, step = map(int, asked.part.split("/"))
    mutants = random.Random(asked.seed).sample(list(_mutants()), asked.count)[first - 1 :: step]
    seen: Counter[str] = Counter()
    with asked.table.open("w", encoding="utf-8") as table:
        for number, mutant in enumerate(mutants):
            began = time.monotonic()
            outcome = _outcome(number, mutant)
            seen[outcome] += 1
            secs = time.monotonic() - began
            print(f"{outcome}\t{secs:.1f} s\t{mutant}", file=table, flush=True)
    found = sum(seen[outcome] for outcome in FOUND)
    print(f"{found} of {seen.total()} found: {dict(seen)}")
    return int(found < 0.9 * seen.total())


def _mutants() -> Iterator[Mutant]:
    for name, room in ROOMS.items():
        for module in _python(ROOT / name):
            for change in changes(module.read_text(encoding="utf-8")):
                yield Mutant(module, change, room)


def _python(place: Path, names: Sequence[str] | set[str] = ()) -> list[Path]:
    """The Python files at `place`, those with one of the `names` if there are any."""
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [file for file in files if not names or file.name in names]


def _outcome(number: int, mutant: Mutant) -> str:
    """Whether the tests named like the module, or else all of the room, fail with the change."""
    outcome = ""
    for tests in (tuple(mutant.named_tests), tuple(mutant.room)):
        if not tests:
            continue
        if not _pass_unchanged(tests):
            return "tests fail without a change"
        with _changed(number, mutant):
            outcome = _run(tests)
        if outcome in FOUND:
            break
    return outcome


@cache
def _pass_unchanged(tests: tuple[str, ...]) -> bool:
    return _run(tests) == "survived"


@contextmanager
def _changed(number: int, mutant: Mutant) -> Iterator[None]:
    """Change the module, with a modification time of its own: Python compiles it again."""
    module, stat = mutant.module, mutant.module.stat()
    source = module.read_text(encoding="utf-8")
    try:
        module.write_text(mutant.change.made(source), encoding="utf-8")
        os.utime(module, (number + 1, number + 1))
        yield
    finally:
        module.write_text(source, encoding="utf-8")
        os.utime(module, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _run(tests: Sequence[str]) -> str:
    """Run `tests` in a process of its own, which need not import pytest again."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os._exit(pytest.main([*OPTIONS, *tests]))
    end = time.monotonic() + TIMEOUT_SECS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes = {0: "survived", 4: "no start", 5: "survived"}
            return codes.get(os.waitstatus_to_exitcode(status), "found")
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "time-out"


if __name__ == "__main__":
    sys.exit(main())
