"""Every failure with its cause and its way on, and which tests go that way.

A test that does what a failure tells, and gets on, has the mark `failure` with its kind.
`docs/failures.md` is made from this table: ``python -m tests.support.failures > docs/failures.md``.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from pytest_wf.court.next_command import KINDS as NEXT
from pytest_wf.court.next_command import PHASES
from pytest_wf.wire.failures import KINDS
from tests.support.faults import marked_tests, short


class Failure(NamedTuple):
    """Why a phase or a command failed, and what its user does about it."""

    cause: str
    remedy: str


FAILURES: dict[str, Failure] = {
    # any phase
    "remote-failed": Failure("A step on the pod failed", "See the message and the pod's log"),
    "illegal-state": Failure(
        "The pod's state does not allow the command",
        "Do what the message names; P40 to P60: resume, or start where that was refused",
    ),
    "lease-held": Failure(
        "Another controller holds the pod", "Wait for its end, or end it there with Ctrl-C"
    ),
    "lease-lost": Failure("Another controller took the pod over", "Resume when that one has ended"),
    "state-unreadable": Failure(
        "A control file and its copy are damaged, or are of another version",
        "Move the named file away, or use the version that wrote it",
    ),
    "config-not-synced": Failure(
        "The pod's copy of the config is not this config", "Run `wf config-sync`"
    ),
    "link-lost": Failure(
        "The link broke; whether the request was done is not known", "Run the same again"
    ),
    "agent-broken": Failure(
        "The pod's agent ended without an answer, or broke the protocol",
        "Look at the pod's memory and disk",
    ),
    "pod-disk": Failure("The pod's disk is full or read-only", "Make room, or correct the mount"),
    "not-in-contract": Failure(
        "A phase called an operation that it has not declared",
        "Declare it in the phase's mark, or move the call",
    ),
    "court-deterministic": Failure(
        "A check of the court failed", "See the failed checks in the verdict's records"
    ),
    "court-constitutional": Failure(
        "The auditor found a law violated", "Do what its remediation says"
    ),
    "court-unverified": Failure(
        "The auditor timed out, crashed, or gave no valid answer",
        "Correct `WF_SUBAGENT_VALIDATOR_CMD`",
    ),
    "assertion": Failure("An assertion of the phase failed", "Correct what it asserts"),
    "error": Failure("The phase's body raised an exception", "See the traceback"),
    "timeout": Failure(
        "The phase or request took too long", "Run it again, or raise `WF_PHASE_TIMEOUT_SECS`"
    ),
    "interrupted": Failure("Ctrl-C or a signal ended the phase", "Run it again"),
    "skipped-itself": Failure(
        "A phase skipped itself by `pytest.skip`", "Return, or let it be skipped by a policy"
    ),
    "not-ours": Failure(
        "A file or folder that would be replaced was not made by this product",
        "Move it away, or name another place",
    ),
    # precheck and summary
    "config": Failure("An option, a key or the environment is wrong", "Correct what is named"),
    "manifest": Failure("The CSV is not valid", "Correct the named lines"),
    "consent": Failure(
        "Renting or deleting needs consent, and there is no terminal", "Set `LIUM_YES=1`"
    ),
    "local-disk": Failure(
        "This machine's disk cannot take evidence or results", "Make room, or name another place"
    ),
    "config-changed": Failure(
        "The config was edited while the flow ran", "Restore it, or begin a new flow"
    ),
    "repository": Failure(
        "The commit that the pod would get lacks what the rows need",
        "Commit it, or correct the key",
    ),
    # provision and target
    "no-target": Failure(
        "No pod is named, or none is found by its name", "Set `OPS_DEFAULT_HOST` or the target key"
    ),
    "no-provider": Failure("No installed provider can rent", "Install one, or name a host"),
    "provider": Failure(
        "The provider refused, or its answer is not known", "See the message; `wf pod-list` lists"
    ),
    "target-changed": Failure(
        "The target is no longer the one that was locked", "Begin a new flow for another target"
    ),
    "unreachable": Failure(
        "No connection to the host came about", "Start the pod, or correct its address"
    ),
    "host-key": Failure(
        "The host's key is unknown, or another one",
        "Compare the fingerprints, then record the right one",
    ),
    "authentication": Failure(
        "The host accepts none of the offered keys", "Set `SSH_IDENTITY_FILE` to one that it knows"
    ),
    "not-a-pod": Failure(
        "The host is not Linux, has no usable Python, or its login runs no commands",
        "Correct the login, or name another host",
    ),
    "volume": Failure(
        "The volume is not mounted, ambiguous, or without file locks",
        "Correct the mount or the key",
    ),
    # bootstrap and checkout
    "prerequisites": Failure(
        "Programs are missing on the pod", "Install them, or set `AUTO_INSTALL_PREREQS=1`"
    ),
    "apt": Failure("Packages could not be installed", "Correct `APT_PACKAGES`"),
    "helper-script": Failure(
        "A helper script is missing or failed", "Correct the script, or empty its key"
    ),
    "clone": Failure(
        "The repository could not be cloned or checked out",
        "Correct `REPO_URL` and its branch, or move away what is in its place",
    ),
    "wrong-sha": Failure(
        "The commit is not the one asked for", "Pin or push it; a start trains the new one"
    ),
    "dirty-checkout": Failure(
        "Tracked files on the pod are modified", "Revert them, or set `CHECKOUT_FORCE_CLEAN=1`"
    ),
    "venv": Failure("The environment is unusable", "Set `VENV_RECREATE=1`, or correct pip"),
    "torch": Failure(
        "torch is missing, too old, without a GPU, or was replaced",
        "Use the image's torch, or set `REQUIRE_GPU_TORCH=0`",
    ),
    "install": Failure("`CHECKOUT_INSTALL_CMD` failed", "Correct the command"),
    "post-command": Failure("`CHECKOUT_POST_CMD` failed", "Correct the command"),
    "data": Failure(
        "The data contract does not hold, or `DATA_LINK` cannot be made", "Correct the data's place"
    ),
    # sweep
    "sweep-running": Failure("A sweep is running on the pod", "Resume it, or `wf sweep-stop`"),
    "run-exists": Failure(
        "A run of another origin has the row's id", "Rename the row, or move the run away"
    ),
    "no-campaign": Failure("The pod has no such campaign", "Start one"),
    "manifest-differs": Failure("The CSV is not that of the campaign", "Start a new one"),
    "launch": Failure("The sweep or task cannot be started", "Correct what is named"),
    "run-differs": Failure(
        "Good runs were trained by another recipe or code", "Set `SWEEP_RETRAIN` or `SWEEP_FORCE=1`"
    ),
    "sweep-stalled": Failure("Nothing works on the campaign any more", "Resume it"),
    "wait-exhausted": Failure("`WF_FLOW_WAIT_MAX_POLLS` is used up", "Resume and wait"),
    "campaign-changed": Failure(
        "The pod's latest campaign is another one", "Resume that one, or start anew"
    ),
    "sweep-stopped": Failure("The user stopped the sweep", "Resume it"),
    "row-failed": Failure("A row's training failed", "Correct the row; a start keeps good rows"),
    "row-expectation": Failure(
        "A row's metrics are not as expected", "Look at its log; correct row or expectation"
    ),
    "task-exists": Failure("The task's id is in use", "Use another id, or `--force`"),
    "task-running": Failure(
        "The task is running", "`wf task-wait --id ID`, or `wf task-stop --id ID`"
    ),
    "no-such-task": Failure("The pod has no such task", "`wf task-list` lists them"),
    # fetch and teardown
    "no-such-run": Failure("The pod has no such run", "`wf sweep-status` lists the rows"),
    "digest": Failure("A file arrived other than the pod read it", "Fetch again"),
    "hostile-answer": Failure(
        "The pod's answer is not to be trusted", "Find out what writes to the outputs directory"
    ),
    "incomplete": Failure("A row has no results yet", "Wait for its end, or select it"),
    "unfetched": Failure(
        "Results on the pod are not here", "Fetch them, or set `WF_DELETE_UNFETCHED=1`"
    ),
    "delete": Failure(
        "The pod is not proved to be gone, or its folder may not be removed",
        "See the message; the pod may still be billing",
    ),
}

#: Kinds that no test of hints produces, each with the reason.
WITHOUT_TEST = {
    "remote-failed": "what no other kind names: its message says what failed",
    "lease-lost": "takes a controller that sleeps past its lease: `lifecycle/test_silent_pod.py`",
    "link-lost": "takes a link that stays cut: `lifecycle/test_silent_pod.py`",
    "agent-broken": "takes a pod whose agent is killed each time: `pods/rpc/test_client.py`",
    "pod-disk": "takes a full disk of the pod: `agent/sweep/test_broken_volume.py`",
    "manifest": "a flow refuses the CSV before it begins: `project/test_manifest.py`",
    "no-provider": "this package brings a provider",
    "volume": "takes a file system without locks: `agent/sweep/test_broken_volume.py`",
    "campaign-changed": "takes a disk that was put back: `agent/sweep/test_damaged_records.py`",
    "digest": "takes a pod that sends other bytes: `fetch/test_fetch_hostile.py`",
    "hostile-answer": "takes a hostile pod: `fetch/test_fetch_hostile.py`",
    "sweep-stopped": "takes a stop while a flow waits, which the flow's lease refuses:"
    " `flow/operations/test_sweep.py`",
    "apt": "takes a distribution that fails: `agent/setup/test_bootstrap.py`",
    "local-disk": "takes a full disk of this machine: `faults/test_full_local_disk.py`",
    "delete": "takes a provider that lies: `lifecycle/lium/test_lium_every_switch.py`",
}

_HEAD = """\
<!-- made by `make docs`: change tests/support/failures.py -->
# Failure codes

Every code that a phase or a `wf` command can fail with, why, and the way on. To a code below 100,
which can strike in any phase, the hundred of the phase's family is added: 100 in P00 and P99, 200
in P10 to P30, 300 in P40 and P50, 400 in P60 and P70, 500 in P80 and P90. So 182, 282, 382, 482
and 582 are all `lease-held`.

A halted flow names the next command itself, with the options of the flow: in the failure's text
(`next:`), in the page, in the notification and in the verdict (`suggested_next_command`). The
tables have it without those options. A refused `wf` command names the way on in its message, and
with `--json` as `next`. A test that is named produces the failure, does what it says, runs the
command, and sees that it leads on and loses nothing.

## What follows a phase

Where the kind of the failure has no command of its own, it is that of the phase. After a phase of
your own it is the same flow, from P60 on a resume.

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
_FLOW = "pytest flows/ --wf-flow"
_SHOWN = {
    "start": f"`{_FLOW}`",
    "resume": f"`{_FLOW} --wf-sweep=resume`",
    "same": "the same flow again",
}


def page() -> str:
    """docs/failures.md."""
    tests = marked_tests("failure")
    lines = [_HEAD, *(f"| {phase} | {_shown(step)} |" for phase, step in PHASES.items())]
    for family, subject in _SUBJECTS.items():
        lines += ["", f"## {subject}", "", "| code | kind | cause | what to do | next | tests |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            _row(kind, tests.get(kind, [])) for kind, n in KINDS.items() if n // 100 == family
        ]
    return "\n".join(lines) + "\n"


def _row(kind: str, tests: list[str]) -> str:
    number, failure = KINDS[kind], FAILURES[kind]
    code = str(number) if number >= 100 else f"x{number}"
    shown = "<br>".join(f"`{short(test)}`" for test in tests) or WITHOUT_TEST.get(kind, "")
    cells = [code, f"`{kind}`", f"{failure.cause}.", f"{failure.remedy}.", _next(kind), shown]
    return f"| {' | '.join(cells)} |"


def _next(kind: str) -> str:
    own = NEXT.get(kind, {})
    if isinstance(own, str):
        return _shown(own)
    by_step: dict[str, list[str]] = {}
    for phase, step in own.items():
        by_step.setdefault(step, []).append(phase)
    return "; ".join(f"{_span(phases)}: {_shown(step)}" for step, phases in by_step.items())


def _span(phases: list[str]) -> str:
    return phases[0] if len(phases) == 1 else f"{phases[0]} to {phases[-1]}"


def _shown(step: str) -> str:
    return _SHOWN.get(step, f"`{step}`")


if __name__ == "__main__":
    sys.stdout.write(page())
