"""The command to run after a flow has failed.

Each command works in the state that the flow left, and has the options of the flow that it
takes: the same rows, config, CSV and reports.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from pytest_wf.wire import fsm
from pytest_wf.wire.failures import EXPECT

_DOCTOR = "wf doctor"
_STATE = "wf fsm-status"
#: Placeholders for flows: a new campaign, the latest one, and the same flow again.
_START, _RESUME, _SAME = "start", "resume", "same"

#: The step after a failed phase, if the kind of its failure has none of its own.
PHASES = {
    "P00": _DOCTOR,
    "P10": _DOCTOR,
    "P20": _DOCTOR,
    "P30": _DOCTOR,
    "P40": _SAME,
    "P50": _SAME,
    "P60": _RESUME,
    "P70": _RESUME,
    "P80": "wf fetch-all",
    "P90": "wf pod-status",
    "P99": _DOCTOR,
}

#: The step after a kind of failure: in every phase, or in a certain phase.
KINDS: Mapping[str, str | Mapping[str, str]] = {
    "lease-held": _STATE,
    "lease-lost": _STATE,
    # P30 has read the state: from P50 on it is the campaign, which a resume requests again
    "state-unreadable": {
        **{phase: _START for phase in PHASES if "P50" <= phase <= "P80"},
        "P40": _DOCTOR,
        "P90": _DOCTOR,
    },
    "illegal-state": _STATE,
    "interrupted": {phase: _SAME for phase in PHASES if phase < "P60"},
    "timeout": {phase: _SAME for phase in PHASES if phase < "P60"},
    "run-differs": _DOCTOR,
    "run-exists": _DOCTOR,
    "launch": {"P60": _SAME},
    "smoke-failed": {"P60": _SAME},
    "budget": {"P60": _SAME},
    "manifest": {"P60": _START},
    "manifest-differs": {"P60": _START},
    "no-campaign": {"P60": _START, "P80": _START},
    "incomplete": {"P80": "wf sweep-watch"},
    "no-such-run": {"P80": "wf sweep-status"},
    "sweep-running": {"P60": _RESUME, "P90": "wf sweep-watch"},
    "task-running": {"P90": "wf task-list"},
    "unfetched": {"P90": "wf fetch-all --for-delete"},
    "provider": {"P90": "wf pod-list"},
}

#: The flow's options in the order in which they are written, each with its default.
_DEFAULTS = {
    "provision": "auto",
    "sweep": "start",
    "campaign": "",
    "wait": "false",
    "fetch": "none",
    "teardown": "keep",
    "config": "",
    "csv": "",
    "reports": "reports",
    "pods": "",
}
#: `wf` commands that read the sweep's CSV.
_READ_CSV = ("wf doctor", "wf checkout", "wf sweep-start")


def next_command(code: str, kind: str, options: Mapping[str, str], state: str | None = None) -> str:
    """The command to run after phase `code` of a flow with `options` failed with `kind`.

    `state` is the pod's state after the phase; None if it is unknown.
    """
    sweep, is_smoked = options.get("sweep", "start"), bool(options.get("smoke"))
    # P50 leaves this state, and a launch ends it
    is_launched = code != "P60" or not (is_smoked or state == fsm.CHECKED_OUT)
    found = step(code, kind, sweep, is_launched=is_launched)
    if found == _SAME:
        return flow_command(options)
    if found in (_START, _RESUME):
        return flow_command(options, sweep=found)
    return wf_command(found, options)


def step(code: str, kind: str, sweep: str, *, is_launched: bool = True) -> str:
    """The next `wf` command, or 'start', 'resume' or 'same' for a flow.

    `is_launched` is false for a P60 that failed before its campaign, as in its smoke run: there
    is nothing to resume, unless the kind of the failure says that there is.
    """
    if kind == "illegal-state" and "P40" <= code <= "P60":
        # a state without a sweep to resume, or with a sweep that is running
        return _START if sweep == "resume" else _RESUME
    if kind == "wrong-sha" and sweep == "resume" and "P40" <= code < "P60":
        return _START
    if kind == "sweep-running" and sweep == "resume":
        return "wf sweep-watch"  # a sweep takes no other rows; after its end, a start does
    of_kind = KINDS.get(kind, {})
    if isinstance(of_kind, str):
        return of_kind
    of_users = _SAME if code < "P60" else _RESUME
    of_phase = PHASES.get(code, of_users) if is_launched else _SAME
    return of_kind.get(code, of_phase)


def after_failed_rows(options: Mapping[str, str], *, all_ended: bool) -> str:
    """The command that trains failed rows again; a start if all rows have ended.

    A start keeps the good results and uses corrections; it is refused while rows train.
    """
    again = "start" if all_ended else "resume"
    return flow_command(options, sweep=again, campaign="", wait="true")


def trained_again(failure_classes: Iterable[str | None]) -> str:
    """What that command does, in words: rows that only broke an expectation are kept."""
    if EXPECT in failure_classes:
        return "trains again the rows whose training failed"
    return "trains the failed rows again"


def flow_command(options: Mapping[str, str], **changed: str) -> str:
    """The command that runs a flow with `options`, of which some have `changed`."""
    asked = {**options, **changed}
    asked["campaign"] = asked.get("campaign", "") if asked.get("sweep") == "resume" else ""
    defaults = {**_DEFAULTS, "teardown": asked.get("default_teardown", "keep")}
    words = [
        f"--wf-{name}={shlex.quote(asked[name])}"
        for name, default in defaults.items()
        if asked.get(name, default) != default
    ]
    words += ["--wf-smoke"] if asked.get("smoke") and asked.get("sweep") == "start" else []
    words += ["--lf"] if asked.get("last_failed") else []
    words += [asked["selection"]] if asked.get("selection") else []
    return _from_there(asked, ["pytest flows/ --wf-flow", *words])


def wf_command(command: str, options: Mapping[str, str]) -> str:
    """A `wf` command with the config of a flow, and its CSV if the command reads that."""
    names = ("config", "csv") if command.startswith(_READ_CSV) else ("config",)
    words = [f"--wf-{name}={shlex.quote(options[name])}" for name in names if options.get(name)]
    return _from_there(options, [command, *words])


def _from_there(options: Mapping[str, str], words: Sequence[str]) -> str:
    """A command for the directory in which pytest was started."""
    root = options.get("root", "")
    return " ".join([*([f"cd {shlex.quote(root)} &&"] if root else []), *words])
