"""The commands on the state of a pod and on the checklist."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.output import Config, Json, Pod, run_command
from pytest_wf.flow.results import Result

app = typer.Typer()


@app.command("fsm-status")
def fsm_status(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Show the pod's state, who holds it, and the latest transitions."""
    run_command(
        lambda context: Result("fsm-status", context.session().state()),
        pods=Pods(pod, on_all=True),
        config=config,
        as_json=as_json,
    )


@app.command("fsm-reset")
def fsm_reset(
    state: Annotated[str, typer.Argument(help="The new state")] = "INIT",
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Set the pod's state by hand; it is recorded as manual."""
    run_command(
        lambda context: context.reset_state(state), pods=Pods(pod), config=config, as_json=as_json
    )


@app.command("checklist-status")
def checklist_status(config: Config = None, as_json: Json = False) -> None:
    """Show which phases are ticked, and the checklist's events."""
    run_command(_checklist, config=config, as_json=as_json)


@app.command("checklist-reset")
def checklist_reset(config: Config = None, as_json: Json = False) -> None:
    """Untick every line of the checklist."""

    def reset(context: Context) -> Result:
        context.checklist().reset()
        return _checklist(context)

    run_command(reset, config=config, as_json=as_json)


def _checklist(context: Context) -> Result:
    checklist = context.checklist()
    return Result("checklist", {"path": str(checklist.path), **asdict(checklist.status())})
