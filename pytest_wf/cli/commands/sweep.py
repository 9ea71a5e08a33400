"""The commands `wf sweep-*`: start, watch and stop the campaign of a pod."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.output import (
    Config,
    Csv,
    Json,
    Pod,
    columns,
    news,
    print_lines,
    print_parts,
    run_command,
)
from pytest_wf.config.ranking import rank
from pytest_wf.console.progress import progress_of
from pytest_wf.console.row_table import TableRow, row_table
from pytest_wf.flow.operations import sweep
from pytest_wf.flow.results import Result
from pytest_wf.flow.rows.row_text import counts_line
from pytest_wf.wire.rows import CampaignStatus
from pytest_wf.wire.states import DRY_RUN, ROW_LEFT_OUT

app = typer.Typer()


@dataclass(frozen=True)
class _SweepResult(Result):
    """A campaign's status, and the rule that its rows are ranked by."""

    status: CampaignStatus | None = None
    rank_by: str = ""


def _result(command: str, status: CampaignStatus | None, context: Context) -> _SweepResult:
    facts = {"campaign_id": None, "rows": []} if status is None else status.as_json()
    return _SweepResult(command, facts, status=status, rank_by=context.project.config.wf_rank_by)


@app.command("sweep-start")
def sweep_start(
    pod: Pod = "", config: Config = None, csv: Csv = None, as_json: Json = False
) -> None:
    """Freeze the CSV as a new campaign and launch it, detached (P60)."""
    run_command(
        lambda context: sweep.start(context.session(), context.secrets()),
        pods=Pods(pod),
        config=config,
        csv=csv,
        needs_csv=True,
        as_json=as_json,
    )


@app.command("sweep-status")
def sweep_status(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Show the rows of the latest campaign: state, metric, step, rate, time left.

    Makes one request. The best row so far is marked.
    """

    def look(context: Context) -> _SweepResult:
        return _result("sweep-status", sweep.Sweep(context.session()).status(), context)

    run_command(
        look, pods=Pods(pod, on_all=True), config=config, as_json=as_json, show=_show_status
    )


@app.command("sweep-watch")
def sweep_watch(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Wait until every row of the latest campaign has ended; exit 1 unless all succeeded.

    Rows that were not selected do not count.
    """

    def watch(context: Context) -> _SweepResult:
        with news("sweep", context) as show:

            def tell(status: CampaignStatus) -> None:
                show(progress_of(status, "sweep"))

            session = context.session()
            with session.watching():
                status = sweep.Sweep(session, None, tell).follow_all()
            return _result("sweep-watch", status, context)

    results = run_command(
        watch, pods=Pods(pod, on_all=True), config=config, as_json=as_json, show=_show_status
    )
    # a row whose state is unknown has not succeeded
    rows = [row for result in results if result.status for row in result.status.rows]
    good = all(row.ok or row.state in ROW_LEFT_OUT | {DRY_RUN} for row in rows)
    raise typer.Exit(0 if good else 1)


@app.command("sweep-stop")
def sweep_stop(pod: Pod = "", config: Config = None, as_json: Json = False) -> None:
    """Stop the running campaign and all processes of its rows; exit 1 if any survives."""
    results = run_command(
        lambda context: sweep.stop(context.session()),
        pods=Pods(pod, on_all=True),
        config=config,
        as_json=as_json,
    )
    raise typer.Exit(1 if any(result.facts["leftovers"] for result in results) else 0)


def _show_status(result: _SweepResult) -> None:
    status = result.status
    if status is None:
        print_lines(["no campaign on the pod"])
        return
    rows = [TableRow(row) for row in status.rows]
    print_parts(row_table(rows, rank(status.rows, result.rank_by), columns()))
    print_lines(
        [
            f"campaign={status.campaign_id} state={status.state} supervisor={status.supervisor}"
            f" ({status.reason})",
            counts_line(status.rows),
        ]
    )
