"""Explanations of all failures: the cause, and what to do about it.

`wf explain` prints them, and `docs/failures.md` is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pytest_wf.court.next_command import KINDS as NEXT


class Explanation(NamedTuple):
    """The cause of a failed phase, command or row, and what to do about it."""

    cause: str
    remedy: str


#: By kind, a name of `wire.failures.KINDS`.
FAILURES: Mapping[str, Explanation] = {
    # any phase
    "remote-failed": Explanation("A step on the pod failed", "See the message and the pod's log"),
    "illegal-state": Explanation(
        "The pod's state does not allow the command",
        "Do what the message names; P40 to P60: resume, or start where that was refused",
    ),
    "lease-held": Explanation(
        "Another controller holds the pod", "Wait for its end, or end it there with Ctrl-C"
    ),
    "lease-lost": Explanation(
        "Another controller took the pod over", "Resume when that one has ended"
    ),
    "state-unreadable": Explanation(
        "A control file and its copy are damaged, or are of another version",
        "Move the named file away, or use the version that wrote it",
    ),
    "config-not-synced": Explanation(
        "The pod's copy of the config is not this config", "Run `wf config-sync`"
    ),
    "link-lost": Explanation(
        "The link broke; whether the request was done is not known", "Run the same again"
    ),
    "agent-broken": Explanation(
        "The pod's agent ended without an answer, or broke the protocol",
        "Look at the pod's memory and disk",
    ),
    "pod-disk": Explanation(
        "The pod's disk is full or read-only, or its login may not write there",
        "Make room, correct the mount, or set `WF_POD_ROOT` to a folder of the login",
    ),
    "not-in-contract": Explanation(
        "A phase called an operation that it has not declared",
        "Declare it in the phase's mark, or move the call",
    ),
    "court-deterministic": Explanation(
        "A check of the court failed", "See the failed checks in the verdict's records"
    ),
    "court-constitutional": Explanation(
        "The auditor found a law violated", "Do what its remediation says"
    ),
    "court-unverified": Explanation(
        "The auditor timed out, crashed, or gave no valid answer",
        "Correct `WF_SUBAGENT_VALIDATOR_CMD`",
    ),
    "assertion": Explanation("An assertion of the phase failed", "Correct what it asserts"),
    "error": Explanation("The phase's body raised an exception", "See the traceback"),
    "timeout": Explanation(
        "The phase or request took too long", "Run it again, or raise `WF_PHASE_TIMEOUT_SECS`"
    ),
    "interrupted": Explanation("Ctrl-C or a signal ended the phase", "Run it again"),
    "skipped-itself": Explanation(
        "A phase skipped itself by `pytest.skip`", "Return, or let it be skipped by a policy"
    ),
    "not-ours": Explanation(
        "A file or folder that would be replaced was not made by this product",
        "Move it away, or name another place",
    ),
    # precheck and summary
    "config": Explanation("An option, a key or the environment is wrong", "Correct what is named"),
    "manifest": Explanation("The CSV is not valid", "Correct the named lines"),
    "consent": Explanation(
        "Renting or deleting needs consent, and there is no terminal", "Set `LIUM_YES=1`"
    ),
    "local-disk": Explanation(
        "This machine's disk cannot take evidence or results", "Make room, or name another place"
    ),
    "config-changed": Explanation(
        "The config was edited while the flow ran", "Restore it, or begin a new flow"
    ),
    "repository": Explanation(
        "The commit that the pod would get lacks what the rows need",
        "Commit it, or correct the key",
    ),
    # provision and target
    "no-target": Explanation(
        "No pod is named, or none is found by its name", "Set `OPS_DEFAULT_HOST` or the target key"
    ),
    "no-provider": Explanation("No installed provider can rent", "Install one, or name a host"),
    "provider": Explanation(
        "The provider refused, or its answer is not known", "See the message; `wf pod-list` lists"
    ),
    "target-changed": Explanation(
        "The target is no longer the one that was locked", "Begin a new flow for another target"
    ),
    "unreachable": Explanation(
        "No connection to the host was made", "Start the pod, or correct its address"
    ),
    "host-key": Explanation(
        "The host's key is unknown, or not the pinned one",
        "Compare the fingerprints, then record the right one",
    ),
    "authentication": Explanation(
        "The host accepts none of the offered keys", "Set `SSH_IDENTITY_FILE` to one that it knows"
    ),
    "not-a-pod": Explanation(
        "The host is not Linux, has no usable Python, or its login runs no commands",
        "Correct the login, or name another host",
    ),
    "volume": Explanation(
        "The volume is not mounted, ambiguous, or without file locks",
        "Correct the mount or the key",
    ),
    # bootstrap and checkout
    "prerequisites": Explanation(
        "Programs are missing on the pod",
        "Install them, set `AUTO_INSTALL_PREREQS=1`, or correct `REMOTE_PYTHON_BIN`",
    ),
    "apt": Explanation("Packages could not be installed", "Correct `APT_PACKAGES`"),
    "helper-script": Explanation(
        "A helper script is missing or failed", "Correct the script, or empty its key"
    ),
    "clone": Explanation(
        "The repository could not be cloned or checked out",
        "Correct `REPO_URL` and its branch, or move away what is in its place",
    ),
    "wrong-sha": Explanation(
        "The commit is not the one asked for", "Pin or push it; a start trains the new one"
    ),
    "dirty-checkout": Explanation(
        "Tracked files on the pod are modified", "Revert them, or set `CHECKOUT_FORCE_CLEAN=1`"
    ),
    "venv": Explanation("The environment is unusable", "Set `VENV_RECREATE=1`, or correct pip"),
    "torch": Explanation(
        "torch is missing, too old, without a GPU, or was replaced",
        "Point `REMOTE_PYTHON_BIN` at a Python with it, or set `REQUIRE_GPU_TORCH=0` without a GPU",
    ),
    "install": Explanation("`CHECKOUT_INSTALL_CMD` failed", "Correct the command"),
    "post-command": Explanation("`CHECKOUT_POST_CMD` failed", "Correct the command"),
    "data": Explanation(
        "The data contract does not hold, or `DATA_LINK` cannot be made", "Correct the data's place"
    ),
    # sweep
    "sweep-running": Explanation("A sweep is running on the pod", "Resume it, or `wf sweep-stop`"),
    "run-exists": Explanation(
        "A run of another origin has the row's id", "Rename the row, or move the run away"
    ),
    "no-campaign": Explanation("The pod has no such campaign", "Start one"),
    "manifest-differs": Explanation("The CSV is not that of the campaign", "Start a new one"),
    "launch": Explanation("The sweep or task cannot be started", "Correct what is named"),
    "run-differs": Explanation(
        "Good runs were trained by another recipe or code", "Set `SWEEP_RETRAIN` or `SWEEP_FORCE=1`"
    ),
    "smoke-failed": Explanation(
        "The run of `--wf-smoke` failed; nothing else was run",
        "Correct the row, the trainer or `SMOKE_OVERRIDES`, and start again",
    ),
    "budget": Explanation(
        "The flow has spent `WF_MAX_USD`, or the pod's price is not known",
        "Raise it, then resume; rows at work ended, and what is here is kept",
    ),
    "sweep-stalled": Explanation("Nothing works on the campaign any more", "Resume it"),
    "wait-exhausted": Explanation("`WF_FLOW_WAIT_MAX_POLLS` is used up", "Resume and wait"),
    "campaign-changed": Explanation(
        "The pod's latest campaign is another one", "Resume that one, or start a new one"
    ),
    "sweep-stopped": Explanation("The user stopped the sweep", "Resume it"),
    "row-failed": Explanation(
        "A row's training failed", "Correct the row; a start keeps good rows"
    ),
    "row-expectation": Explanation(
        "A row's metrics are not as expected", "Look at its log; correct row or expectation"
    ),
    "task-exists": Explanation("The task's id is in use", "Use another id, or `--force`"),
    "task-running": Explanation(
        "The task is running", "`wf task-wait --id ID`, or `wf task-stop --id ID`"
    ),
    "no-such-task": Explanation("The pod has no such task", "`wf task-list` lists them"),
    # fetch and teardown
    "no-such-run": Explanation("The pod has no such run", "`wf sweep-status` lists the rows"),
    "digest": Explanation("A file arrived with other content than the pod read", "Fetch again"),
    "hostile-answer": Explanation(
        "The pod's answer cannot be trusted", "Find out what writes to the outputs directory"
    ),
    "incomplete": Explanation("A row has no results yet", "Wait for its end, or select it"),
    "unfetched": Explanation(
        "Results on the pod are not here", "Fetch them, or set `WF_DELETE_UNFETCHED=1`"
    ),
    "delete": Explanation(
        "The pod is not proved to be gone, or its folder may not be removed",
        "See the message; the pod may still be billing",
    ),
}

#: By failure class of a row: those of `wire.failures.CLASSES`, and `EXPECT`.
ROWS: Mapping[str, Explanation] = {
    "oom": Explanation(
        "The row ran out of memory, on the GPU or on the pod",
        "Lower its batch size, or give it more GPUs (column `gpus`)",
    ),
    "nccl": Explanation(
        "The row's processes lost contact with one another",
        "A retry often helps; else see the first error",
    ),
    "cuda": Explanation(
        "CUDA or a GPU failed", "See the line of the log; `wf doctor` looks at the GPUs"
    ),
    "data": Explanation(
        "The row's data could not be read",
        "Bring what the row needs to the pod: `wf docs how-to/data`",
    ),
    "import": Explanation(
        "A module or a library could not be loaded",
        "Install it by `CHECKOUT_INSTALL_CMD`, or point `REMOTE_PYTHON_BIN` at a Python with it",
    ),
    "disk_full": Explanation("A disk of the pod was full", "Make room: `wf prune` lists old runs"),
    "preempted": Explanation(
        "The pod or the scheduler ended the row", "Resume: rows that failed are tried again"
    ),
    "timeout": Explanation(
        "The row took longer than `RUN_TIMEOUT_SECS` or its `timeout_secs`",
        "Raise the limit, or shorten the row",
    ),
    "stalled": Explanation(
        "The row showed no activity for `RUN_HEARTBEAT_SECS`",
        "See the stacks in its log; raise the limit where the silence is meant",
    ),
    "killed": Explanation(
        "A signal from outside ended the row", "Find out what sent it; `wf sweep-stop` does so too"
    ),
    "user": Explanation("The trainer ended with an error of its own", "See the end of its log"),
    "expect": Explanation(
        "The row trained to its end, but its metrics are not as expected",
        "Look at its log; correct row or expectation",
    ),
}

_FLOW = "pytest flows/ --wf-flow"
_SHOWN = {
    "start": f"`{_FLOW}`",
    "resume": f"`{_FLOW} --wf-sweep=resume`",
    "same": "the same flow again",
}


def next_step(kind: str) -> str:
    """The step to take after a failure of `kind`, by phase if it differs.

    Empty if the kind has no step of its own, so that the phase's applies.
    """
    own = NEXT.get(kind, {})
    if isinstance(own, str):
        return shown(own)
    by_step: dict[str, list[str]] = {}
    for phase, step in own.items():
        by_step.setdefault(step, []).append(phase)
    return "; ".join(f"{_span(phases)}: {shown(step)}" for step, phases in by_step.items())


def _span(phases: list[str]) -> str:
    return phases[0] if len(phases) == 1 else f"{phases[0]} to {phases[-1]}"


def shown(step: str) -> str:
    """A step of `court.next_command` as documents show it."""
    return _SHOWN.get(step, f"`{step}`")
