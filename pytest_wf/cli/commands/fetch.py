"""The commands that bring runs and logs home."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.output import Config, Json, Pod, fail, news, run_command
from pytest_wf.console.transfer_meter import as_news
from pytest_wf.errors import WfError
from pytest_wf.evidence.fetch_record import incomplete_runs
from pytest_wf.flow.operations.fetch import fetch, fetch_directories
from pytest_wf.flow.operations.logs import copy_log
from pytest_wf.flow.results import Result
from pytest_wf.wire.redact import RedactedText
from pytest_wf.wire.safe_text import ReadableText

app = typer.Typer()

FromDirectory = Annotated[
    bool,
    typer.Option(
        "--from-directory",
        help="Copy the run's directory without the pod's records; it is marked as not verified",
    ),
]


@app.command("fetch-run")
def fetch_run(
    run_id: Annotated[str, typer.Argument(help="A row's run_id")],
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Also fetch a run that has not ended, as it is; it is marked"
        ),
    ] = False,
    from_directory: FromDirectory = False,
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fetch one run, every file verified."""
    if from_directory:
        _fetch_directories(f"run:{run_id}", Pods(pod, run_id=run_id), config, as_json)
    else:
        _fetch(f"run:{run_id}", Pods(pod, run_id=run_id), config, as_json, partial=partial)


@app.command("fetch-all")
def fetch_all(
    for_delete: Annotated[
        bool,
        typer.Option(
            "--for-delete",
            help="Also checkpoints, and runs of earlier campaigns, as pod-delete requires",
        ),
    ] = False,
    from_directory: FromDirectory = False,
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fetch every ended run of the latest campaign, verified (P80)."""
    if from_directory:
        _fetch_directories("all", Pods(pod, on_all=True), config, as_json, for_delete=for_delete)
    else:
        _fetch("all", Pods(pod, on_all=True), config, as_json, for_delete=for_delete)


def _fetch_directories(
    wanted: str, pods: Pods, config: Path | None, as_json: bool, *, for_delete: bool = False
) -> None:
    def carry(context: Context) -> Result:
        with news("fetch", context) as show:
            session = context.session()
            return fetch_directories(session, wanted, for_delete=for_delete, on_bytes=as_news(show))

    for result in run_command(carry, pods=pods, config=config, as_json=as_json):
        if not result.facts["complete"]:
            _fail_incomplete(result.facts)


def _fetch(wanted: str, pods: Pods, config: Path | None, as_json: bool, **how: bool) -> None:
    def carry(context: Context) -> Result:
        with news("fetch", context) as show:
            session = context.session()
            return fetch(session, wanted, on_bytes=as_news(show), **how)

    for result in run_command(carry, pods=pods, config=config, as_json=as_json):
        if not result.facts["verified"] and not result.facts["partial"]:
            _fail_incomplete(result.facts)


def _fail_incomplete(facts: Mapping[str, Any]) -> NoReturn:
    remedy = "On the pod, replace what cannot be carried; then fetch again."
    fail(1, WfError("\n".join([*incomplete_runs(facts), remedy])), "incomplete")


@app.command()
def logs(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN_ID|TASK_ID", help="A row's run_id, or a task's id")
    ],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines, too")] = False,
    tail: Annotated[
        int | None, typer.Option("-n", "--tail", min=1, help="Begin this many lines before the end")
    ] = None,
    pod: Pod = "",
    config: Config = None,
) -> None:
    """Print the log of a run or a task; with -f until it has ended."""

    def copy(context: Context) -> Result:
        # escapes are removed first: text on both sides of one is joined
        masked = RedactedText(sys.stdout, context.redactor)
        out = ReadableText(masked)
        try:
            session = context.session()
            with session.watching():
                copied = copy_log(session, run_id, out, follow=follow, tail=tail)
        finally:
            out.end()
            masked.end()
        return Result("logs", {"bytes": copied})

    run_command(copy, pods=Pods(pod, run_id=run_id), config=config, show=None)
