"""Kills each process at its calls: ``python -m tests.support.injection.at_calls --secs 600``.

The order is random, and that of `--seed` the same again. A line of the table has the role, the
number and the name of a call, and how it ended; what the table has is not done again. The folders
of those that end badly are kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.support.injection.crash_points import ROWS, CrashPoints

#: Role and number of a call.
Call = tuple[str, int]


def main() -> int:
    """0 where a flow after each kill ended well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secs", type=float, default=600.0, help="begin no flow after that time")
    parser.add_argument("--seed", type=int, default=0, help="the order")
    parser.add_argument("--table", type=Path, default=Path("calls.table"), help="written to")
    asked = parser.parse_args()
    end = time.monotonic() + asked.secs
    names, done, bad = _names(), _done(asked.table), 0
    left = [call for call in names if call not in done]
    random.Random(asked.seed).shuffle(left)
    for call in left:
        if time.monotonic() > end:
            break
        line = f"{call[0]} {call[1]} {names[call]} {_crash(call)}"
        bad += not line.endswith((" ok", " not reached"))
        with asked.table.open("a") as f:
            f.write(line + "\n")
        print(line, flush=True)
    print(f"{bad} ended badly; {len(set(names) - set(_done(asked.table)))} calls are left")
    return bool(bad)


def _names() -> dict[Call, str]:
    """The name of each call that a flow makes without a fault."""
    with tempfile.TemporaryDirectory(prefix="wf-calls-") as base:
        case = CrashPoints(Path(base))
        case.plan("count", 0)
        run = case.flow()
        assert run.code == 0, run.output
        lines = (Path(base) / "bin" / "calls").read_text().splitlines()
    return {(role, int(number)): name for role, number, name in map(str.split, lines)}


def _done(table: Path) -> set[Call]:
    lines = table.read_text().splitlines() if table.exists() else []
    return {(line.split()[0], int(line.split()[1])) for line in lines}


def _crash(call: Call) -> str:
    """Kill at `call` and go on as the product says: 'ok', 'not reached' or a kept folder."""
    role, at = call
    base = Path(tempfile.mkdtemp(prefix=f"wf-{role}-{at}-"))
    case = CrashPoints(base)
    case.plan(role, at)
    run = case.flow()
    passed = run.code == 0 or case.user.finish(run.output)
    wrong = case.oracle.violations(list(ROWS)) if passed else ["no flow passed"]
    if wrong:
        told = (f"$ {' '.join(map(str, words))}\n{text}" for words, text in case.user.told)
        (base / "told").write_text("\n".join([*told, *wrong]))
        return f"bad {base}"
    is_reached = case.has_died()
    shutil.rmtree(base)
    return "ok" if is_reached else "not reached"


if __name__ == "__main__":
    sys.exit(main())
