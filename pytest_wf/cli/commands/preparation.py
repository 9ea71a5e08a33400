"""The commands from the first file of a project to a pod that is ready for its sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.output import (
    Config,
    Csv,
    Json,
    Pod,
    news,
    print_bare_header,
    print_lines,
    run_command,
    user_errors,
    whole,
)
from pytest_wf.flow.operations.bootstrap import bootstrap as bootstrap_pod
from pytest_wf.flow.operations.doctor import Verdict
from pytest_wf.flow.results import Result
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.wire import operations

app = typer.Typer()


@app.command("config-sync")
def config_sync(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Write the config to the pod, rendered and without secrets."""

    def sync(context: Context) -> Result:
        session = context.session()
        session.hold_lease()
        return Result("config-sync", session.request(operations.CONFIG_SYNC))

    run_command(sync, pods=Pods(pod, on_all=True), config=config, as_json=as_json)


@app.command()
def doctor(pod: Pod = "", config: Config = None, csv: Csv = None, as_json: Json = False) -> None:
    """Check all that a flow needs, here and on the pod: `ready`, or exit 1 with the problems.

    Changes nothing.
    """
    results = run_command(
        lambda context: context.doctor(),
        pods=Pods(pod, on_all=True),
        config=config,
        csv=csv,
        needs_csv=True,
        as_json=as_json,
        show=_show_verdict,
    )
    raise typer.Exit(0 if all(result.is_ready for result in results) else 1)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The project")] = Path(),
    trainer: Annotated[
        str, typer.Option("--trainer", help=f"How the trainer is called: {', '.join(BY_NAME)}")
    ] = "",
    script: Annotated[str, typer.Option("--script", help="The training script")] = "",
) -> None:
    """Write a commented config, a sweep CSV and the lifecycle into a project.

    Without options, the files of the project show how it trains; none of them is run.
    """
    from pytest_wf.project.first_steps import next_steps
    from pytest_wf.project.scaffold import proposed, scaffold

    with user_errors():
        proposal = proposed(folder, trainer, script)
        written = scaffold(folder, proposal)
        print_bare_header(folder)
        print_lines([f"trainer: {proposal.reason}", *(f"note: {note}" for note in proposal.notes)])
        if proposal.template:
            print_lines([f"command: {proposal.template}"])
        print_lines(f"wrote {path}" for path in written)
        print_lines(next_steps(folder, written))


@app.command()
def bootstrap(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Check prerequisites and run helper scripts (P40)."""

    def prepare(context: Context) -> Result:
        with news("bootstrap", context) as show:
            return bootstrap_pod(context.session(), show=show)

    run_command(prepare, pods=Pods(pod, on_all=True), config=config, as_json=as_json)


@app.command()
def checkout(pod: Pod = "", config: Config = None, csv: Csv = None, as_json: Json = False) -> None:
    """Check the repository out at the requested commit, with its environment and data (P50).

    The sweep's CSV says which training configs are used, and so which data is needed.
    """

    def take(context: Context) -> Result:
        with news("checkout", context) as show:
            return context.check_out(show)

    run_command(
        take, pods=Pods(pod, on_all=True), config=config, csv=csv, needs_csv=True, as_json=as_json
    )


@app.command("sweep-csv-template")
def sweep_csv_template(
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file")] = False,
    as_json: Json = False,
) -> None:
    """Write an example sweep CSV at SWEEP_CSV."""
    from pytest_wf.project.scaffold import write_csv_template

    def write(context: Context) -> Result:
        path = write_csv_template(context.project, overwrite=force)
        return Result("sweep-csv-template", {"path": str(path)})

    run_command(write, config=config, as_json=as_json)


def _show_verdict(result: Verdict) -> None:
    for finding in result.findings:
        first, *more = whole(finding.sentence).splitlines() or [""]
        print_lines([f"{finding.status:<8} {finding.check:<18} {first}"])
        print_lines(f"{'':<27} {line}" for line in more)
    print_lines([result.last_line])
