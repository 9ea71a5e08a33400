"""The page about failures: what `wf explain` says of each, and which tests follow it.

A test that does what a failure tells, and gets on, has the mark `failure` with its kind.
`docs/failures.md` is made from this table: ``python -m tests.support.failures > docs/failures.md``.
"""

from __future__ import annotations

import sys

from pytest_wf.court.explanations import FAILURES, ROWS, next_step, shown
from pytest_wf.court.next_command import PHASES
from pytest_wf.wire.failures import KINDS
from tests.support.faults import marked_tests, short

_HEAD = """\
<!-- made by `make docs`: change tests/support/failures.py -->
# Errors and failure codes

Every code that a phase or a `wf` command can fail with, why, and the way on. To a code below 100,
which any phase can have, the hundred of the phase's family is added: 100 in P00 and P99, 200
in P10 to P30, 300 in P40 and P50, 400 in P60 and P70, 500 in P80 and P90. So 182, 282, 382, 482
and 582 are all `lease-held`. `wf explain 315` has the same on the terminal; `torch`, or the failure
class of a row such as `oom`, will do too.

A halted flow names the next command itself, with the options of the flow: in the failure's text
(`next:`), in the page, in the notification and in the verdict (`suggested_next_command`). The
tables have it without those options. A refused `wf` command names the way on in its message, and
with `--json` as `next`. A test that is named produces the failure, does what it says, runs the
command, and sees that it leads on and loses nothing.

## What follows a phase

Where the kind of the failure has no command of its own, it is that of the phase. After a phase of
your own it is the same flow, from P60 on a resume. After a P60 that failed before its campaign
began it is the same flow, too.

| phase | next |
|---|---|"""

_SUBJECTS = {
    0: "In any phase",
    1: "Precheck and summary",
    2: "Provision and target",
    3: "Bootstrap and checkout",
    4: "Sweep and tasks",
    5: "Fetch and teardown",
}


def page() -> str:
    """docs/failures.md."""
    tests = marked_tests("failure")
    lines = [_HEAD, *(f"| {phase} | {shown(step)} |" for phase, step in PHASES.items())]
    for family, subject in _SUBJECTS.items():
        lines += ["", f"## {subject}", "", "| code | kind | cause | what to do | next | tests |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            _row(kind, tests.get(kind, [])) for kind, n in KINDS.items() if n // 100 == family
        ]
    lines += [
        "",
        "## Failure classes of rows",
        "",
        "| class | cause | what to do |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {of_row.cause}. | {of_row.remedy}. |" for name, of_row in ROWS.items()]
    return "\n".join(lines) + "\n"


def _row(kind: str, tests: list[str]) -> str:
    number, failure = KINDS[kind], FAILURES[kind]
    code = str(number) if number >= 100 else f"x{number}"
    shown = "<br>".join(f"`{short(test)}`" for test in tests)
    cells = [code, f"`{kind}`", f"{failure.cause}.", f"{failure.remedy}.", next_step(kind), shown]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
