"""Catalogue of `wf` commands: groups, examples and kinds of arguments, for help and shells."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import typer

#: Kinds of arguments: ids and folders that this machine knows.
RUNS, TASKS, FLOWS, STATES = "runs", "tasks", "flows", "states"
SHELLS = ("bash", "zsh", "fish")

#: Meaning of a command's exit status; `wf flow` exits as pytest does.
EXITS = {
    0: "done",
    1: "a failed or refused operation, or a finding",
    4: "a mistake in the command, the config or the CSV",
    124: "a task or a wait that timed out",
    130: "interrupted",
}
EXIT_STATUSES = (
    f"Exit status: {'; '.join(f'{status} {text}' for status, text in EXITS.items())}. "
    "wf flow exits as pytest does."
)


class Entry(NamedTuple):
    """A command in the catalogue."""

    group: str
    examples: tuple[str, ...] = ()
    #: Kinds of its arguments, such as `RUNS`, or the arguments themselves.
    words: tuple[str, ...] = ()


_PROJECT, _FLOW, _POD, _SWEEP = "Project", "Flow and results", "Pod", "Sweep"
_TASKS, _EVIDENCE = "Tasks", "Evidence"

CATALOGUE = {
    "init": Entry(_PROJECT, ("wf init", "wf init path/to/project")),
    "doctor": Entry(_PROJECT, ("wf doctor", "wf doctor --json")),
    "keys": Entry(_PROJECT, ("wf keys", "wf keys TRAIN_COMMAND_TEMPLATE")),
    "explain": Entry(_PROJECT, ("wf explain 315", "wf explain oom")),
    "docs": Entry(
        _PROJECT, ("wf docs", "wf docs how-to/stop", "wf docs --search 'rerun failed rows'")
    ),
    "sweep-csv-template": Entry(_PROJECT),
    "completion": Entry(
        _PROJECT,
        ("source <(wf completion bash)", "wf completion fish | source"),
        SHELLS,
    ),
    "flow": Entry(_FLOW, ("wf flow --wf-wait=true --wf-fetch=all", "wf flow --lf")),
    "results": Entry(
        _FLOW,
        (
            "wf results",
            "wf results reports/flows/f-* --csv > rows.csv",
            "wf results --rank-by 'max(accuracy)' --json",
        ),
        (FLOWS,),
    ),
    "costs": Entry(_FLOW, ("wf costs", "wf costs --json"), (FLOWS,)),
    "report": Entry(
        _FLOW,
        (
            "wf report",
            "wf report reports/flows/FLOW_ID",
            "wf report reports/flows/A reports/flows/B -o ab.html",
        ),
        (FLOWS,),
    ),
    "fetch-run": Entry(_FLOW, ("wf fetch-run RUN_ID", "wf fetch-run RUN_ID --partial"), (RUNS,)),
    "fetch-all": Entry(_FLOW, ("wf fetch-all", "wf fetch-all --for-delete")),
    "prune": Entry(_FLOW, ("wf prune --dry-run",)),
    "checklist-status": Entry(_FLOW),
    "checklist-reset": Entry(_FLOW),
    "sweep-start": Entry(_SWEEP, ("wf sweep-start",)),
    "sweep-status": Entry(_SWEEP, ("wf sweep-status", "wf sweep-status --json")),
    "sweep-watch": Entry(_SWEEP, ("wf sweep-watch && wf fetch-all",)),
    "sweep-stop": Entry(_SWEEP),
    "sweep-rebalance": Entry(_SWEEP, ("wf sweep-rebalance --dry-run",)),
    "logs": Entry(_SWEEP, ("wf logs RUN_ID -f", "wf logs TASK_ID -n 50"), (RUNS, TASKS)),
    "pod-status": Entry(_POD, ("wf pod-status",)),
    "pod-up": Entry(_POD, ("wf pod-up",)),
    "pod-wait": Entry(_POD),
    "pod-list": Entry(_POD),
    "pod-delete": Entry(_POD, ("wf fetch-all --for-delete && wf pod-delete",)),
    "pod-forget": Entry(_POD, ("wf pod-forget pod2",)),
    "config-sync": Entry(_POD),
    "bootstrap": Entry(_POD),
    "checkout": Entry(_POD),
    "fsm-status": Entry(_POD),
    "fsm-reset": Entry(_POD, ("wf fsm-reset CHECKED_OUT",), (STATES,)),
    "task-run": Entry(
        _TASKS, ("wf task-run --id probe --timeout-secs 60 --cmd 'nvidia-smi'",), (TASKS,)
    ),
    "task-status": Entry(_TASKS, ("wf task-status --id probe",), (TASKS,)),
    "task-wait": Entry(_TASKS, ("wf task-wait --id probe --timeout-secs 600",), (TASKS,)),
    "task-list": Entry(_TASKS),
    "task-stop": Entry(_TASKS, (), (TASKS,)),
    "verify": Entry(
        _EVIDENCE,
        (
            "wf verify reports/flows/FLOW_ID",
            "wf verify reports/flows/FLOW_ID --public-key KEY.pem.pub",
        ),
        (FLOWS,),
    ),
    "keygen": Entry(_EVIDENCE, ("wf keygen",)),
    "baseline": Entry(_EVIDENCE, ("wf baseline set reports/flows/FLOW_ID",), ("set", "show")),
}


def apply_to(app: typer.Typer) -> None:
    """Put the commands of `app` into their groups, and add examples to their help."""
    for info in app.registered_commands:
        assert info.callback is not None
        entry = CATALOGUE.get(info.name or info.callback.__name__.replace("_", "-"))
        if entry is None:
            continue  # a test has commands that are not in the catalogue
        info.rich_help_panel = entry.group
        # typer would keep the line breaks of the docstring, and break lines at its own width too
        paragraphs = inspect.cleandoc(info.callback.__doc__ or "").split("\n\n")
        info.help = "\n\n".join(one.replace("\n", " ") for one in paragraphs)
        if entry.examples:
            info.epilog = "\n\n".join(["Examples:", *entry.examples])
    for group in app.registered_groups:
        if isinstance(group.name, str) and group.name in CATALOGUE:
            group.rich_help_panel = CATALOGUE[group.name].group
        elif group.typer_instance is not None:
            apply_to(group.typer_instance)
