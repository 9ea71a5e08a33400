"""`wf task-*`: the user's own commands, run on the pod under an id and tracked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pytest_wf.cli.context import Pods
from pytest_wf.cli.output import Config, Json, Pod, print_lines, run_command
from pytest_wf.flow.operations import tasks
from pytest_wf.flow.results import Result

app = typer.Typer()

Id = Annotated[str, typer.Option("--id", help="The task's id")]


@app.command("task-run")
def task_run(  # noqa: PLR0913 - typer reads one parameter for each option
    task_id: Id,
    command: Annotated[str, typer.Option("--cmd", help="The command, for bash on the pod")],
    timeout_s: Annotated[
        int | None,
        typer.Option("--timeout-secs", min=0, help="0 for none; TASK_TIMEOUT_SECS by default"),
    ] = None,
    workdir: Annotated[
        str, typer.Option("--workdir", help="Relative to the repository; the repository by default")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Archive an ended task of that id first")
    ] = False,
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Run a command on the pod, detached and tracked; returns once it has begun."""
    task = tasks.TaskSpec(task_id, command, timeout_s, workdir, force)
    run_command(
        lambda context: tasks.run(context.session(), task, context.secrets()),
        pods=Pods(pod),
        config=config,
        as_json=as_json,
        show=_show_task,
    )


@app.command("task-status")
def task_status(task_id: Id, pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Show the state of a task."""
    run_command(
        lambda context: tasks.status(context.session(), task_id),
        pods=Pods(pod),
        config=config,
        as_json=as_json,
        show=_show_task,
    )


@app.command("task-wait")
def task_wait(
    task_id: Id,
    timeout_s: Annotated[
        float, typer.Option("--timeout-secs", min=0, help="Longest wait; 0 for no limit")
    ] = 0,
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Wait for a task's end; exits as the task did, or 124 if the task or the wait timed out."""
    [result] = run_command(
        lambda context: tasks.wait(context.session(), task_id, timeout_s),
        pods=Pods(pod),
        config=config,
        as_json=as_json,
        show=_show_task,
    )
    code, why = tasks.exit_code_of(result.facts)
    print_lines([f"wf: {why}"], err=True)
    raise typer.Exit(code)


@app.command("task-list")
def task_list(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """List all tasks of the pod, oldest first."""
    run_command(
        lambda context: tasks.list_all(context.session()),
        pods=Pods(pod),
        config=config,
        as_json=as_json,
        show=lambda result: print_lines(_line(task) for task in result.facts["tasks"]),
    )


@app.command("task-stop")
def task_stop(task_id: Id, pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Kill every process of a task; exits 1 if one could not be killed."""
    [result] = run_command(
        lambda context: tasks.stop(context.session(), task_id),
        pods=Pods(pod),
        config=config,
        as_json=as_json,
    )
    raise typer.Exit(1 if result.facts["leftovers"] else 0)


def _show_task(result: Result) -> None:
    task = result.facts
    print_lines([_line(task)])
    print_lines(f"note: {note['text']}" for note in task["notes"])
    for key, told in (("left", "could not be ended"), ("processes", "still run without a runner")):
        if task[key]:
            print_lines([f"processes {' '.join(map(str, task[key]))} {told}"])
    if task["attach"]:
        print_lines([f"attach on the pod with: {task['attach']}"])


def _line(task: Mapping[str, Any]) -> str:
    shown = f"{task['task_id']}: {task['state']}"
    for key in ("exit_code", "started_at", "ended_at"):
        if task[key] is not None:
            shown += f" {key}={task[key]}"
    return f"{shown} ({task['reason']})" if task["reason"] else shown
