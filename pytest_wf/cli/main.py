"""The `wf` command: one function per command, on the operations that the phases call.

Every command prints the header of the terminal contract with ``mode=primitive`` (on stderr
with ``--json``, as stdout is then one JSON document). Mistakes of the user end with exit
status 4, a refused or failed operation with 1. Neither shows a traceback, and stdout then has no
document.
"""

from __future__ import annotations

import io
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pytest_wf import __version__
from pytest_wf.cli import (
    baseline,
    docs,
    evidence,
    explain,
    keys,
    moves,
    pods,
    prune,
    results,
    tasks,
)
from pytest_wf.cli.catalogue import CATALOGUE, EXIT_STATUSES, SHELLS, apply_to
from pytest_wf.cli.context import Context, Pods
from pytest_wf.cli.flow_dirs import flow_dirs_of
from pytest_wf.cli.output import (
    Config,
    Csv,
    Json,
    Pod,
    columns,
    fail,
    news,
    print_bare_header,
    print_lines,
    print_parts,
    run_command,
    tell,
    user_errors,
)
from pytest_wf.config.ranking import rank
from pytest_wf.console.progress import progress_of
from pytest_wf.console.row_table import TableRow, row_table
from pytest_wf.console.transfer_meter import as_news
from pytest_wf.errors import InputError, Problem, WfError
from pytest_wf.evidence.fetch_record import incomplete_runs
from pytest_wf.flow.operations import sweep
from pytest_wf.flow.operations.bootstrap import bootstrap as bootstrap_pod
from pytest_wf.flow.operations.doctor import Verdict
from pytest_wf.flow.operations.fetch import fetch, fetch_directories
from pytest_wf.flow.operations.logs import copy_log
from pytest_wf.flow.results import Result
from pytest_wf.flow.rows.row_text import counts_line
from pytest_wf.project.flow_options import FLOW_OPTIONS
from pytest_wf.project.project import find_root
from pytest_wf.project.trainers.families import BY_NAME
from pytest_wf.wire import operations
from pytest_wf.wire.redact import RedactedText
from pytest_wf.wire.rows import CampaignStatus
from pytest_wf.wire.safe_text import ReadableText
from pytest_wf.wire.states import DRY_RUN, ROW_LEFT_OUT

app = typer.Typer(
    name="wf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Remote experiments as ordered pytest items: the primitives of `pytest flows/ --wf-flow`.",
    epilog=EXIT_STATUSES,
)

app.add_typer(pods.app)
app.add_typer(moves.app)
app.add_typer(keys.app)
app.add_typer(explain.app)
app.add_typer(docs.app)
app.add_typer(tasks.app)
app.add_typer(baseline.app, name="baseline")
app.add_typer(evidence.app)
app.add_typer(prune.app)
app.add_typer(results.app)

#: Exceptions of typer for a word that it does not know.
_UsageError: Any = typer.BadParameter.__mro__[1]


def _version(asked: bool) -> None:
    if asked:
        print_lines([f"pytest-wf {__version__}"])
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version")
    ] = False,
) -> None:
    pass


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def flow(context: typer.Context) -> None:
    """Run the lifecycle: `pytest flows/ --wf-flow`, with all other arguments passed on."""
    if {"--help", "-h"} & set(context.args):
        print_lines(_flow_help())
        return
    with user_errors():
        flows = os.path.relpath(find_root(Path.cwd()) / "flows")
        words = [sys.executable, "-m", "pytest", flows, "--wf-flow", *context.args]
        # in this process, pytest could not rewrite modules that are already imported
        os.execv(words[0], words)  # noqa: S606 - no shell is what is wanted


def _flow_help() -> Iterator[str]:
    yield "Usage: wf flow [OPTIONS] [PYTEST OPTIONS]"
    yield ""
    yield "Run the lifecycle: pytest flows/ --wf-flow, with all arguments passed on."
    yield ""
    for option in FLOW_OPTIONS:
        yield f"  {option.usage}"
        yield textwrap.indent(textwrap.fill(option.help, 72), " " * 6)
    yield ""
    yield "Of pytest's options, -k, --lf, --ff, --deselect and ids of rows select rows, -x stops at"
    yield "the first failed row, -v and -q say more or less; pytest --help lists all."
    yield ""
    yield "Examples:"
    yield from (f"  {example}" for example in CATALOGUE["flow"].examples)
    yield ""
    yield "Exit status: pytest's. 0 passed, 1 a failed phase or row, 2 interrupted, 4 a mistake in"
    yield "the command, the config or the CSV, 5 nothing was selected."


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell")],
) -> None:
    """Print the script for completion of commands, options, ids and flows.

    For bash and zsh add `source <(wf completion bash)` to the start-up file; for
    fish `wf completion fish | source`. No pod is contacted: ids of runs come from the
    CSV and from fetched runs, ids of tasks from the pod on this machine.
    """
    from pytest_wf.cli.completion import script

    with user_errors():
        if shell not in SHELLS:
            reason = f"not one of {', '.join(SHELLS)}."
            problem = Problem("wf completion", None, "SHELL", shell, reason, "Name a shell.")
            raise InputError([problem])
        commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        print_lines([script(shell, commands).rstrip("\n")])


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
        with news("bootstrap", _quiet_s(context)) as show:
            return bootstrap_pod(context.session(), show=show)

    run_command(prepare, pods=Pods(pod, on_all=True), config=config, as_json=as_json)


@app.command()
def checkout(pod: Pod = "", config: Config = None, csv: Csv = None, as_json: Json = False) -> None:
    """Put the repository at the requested commit, with its environment and data (P50).

    The sweep's CSV says which training configs are used, and so which data is needed.
    """

    def take(context: Context) -> Result:
        with news("checkout", _quiet_s(context)) as show:
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
    """Write a starter file at SWEEP_CSV."""
    from pytest_wf.project.scaffold import write_csv_template

    def write(context: Context) -> Result:
        path = write_csv_template(context.project, overwrite=force)
        return Result("sweep-csv-template", {"path": str(path)})

    run_command(write, config=config, as_json=as_json)


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


@dataclass(frozen=True)
class _SweepResult(Result):
    """A campaign's status, and the rule that its rows are ranked by."""

    status: CampaignStatus | None = None
    rank_by: str = ""


def _result(command: str, status: CampaignStatus | None, context: Context) -> _SweepResult:
    facts = {"campaign_id": None, "rows": []} if status is None else status.as_json()
    return _SweepResult(command, facts, status=status, rank_by=context.project.config.wf_rank_by)


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
        with news("sweep", _quiet_s(context)) as show:

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


FromDirectory = Annotated[
    bool,
    typer.Option(
        "--from-directory",
        help="Copy the run's directory without the pod's records; it is marked as not verified",
    ),
]


@app.command("fetch-run")
def fetch_run(
    run_id: str,
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
        with news("fetch", _quiet_s(context)) as show:
            session = context.session()
            return fetch_directories(session, wanted, for_delete=for_delete, on_bytes=as_news(show))

    for result in run_command(carry, pods=pods, config=config, as_json=as_json):
        if not result.facts["complete"]:
            _fail_incomplete(result.facts)


def _fail_incomplete(facts: Mapping[str, Any]) -> NoReturn:
    remedy = "On the pod, replace what cannot be carried; then fetch again."
    fail(1, WfError("\n".join([*incomplete_runs(facts), remedy])), "incomplete")


def _quiet_s(context: Context) -> float:
    return context.project.config.wf_flow_wait_interval_secs


def _fetch(wanted: str, pods: Pods, config: Path | None, as_json: bool, **how: bool) -> None:
    def carry(context: Context) -> Result:
        with news("fetch", _quiet_s(context)) as show:
            session = context.session()
            return fetch(session, wanted, on_bytes=as_news(show), **how)

    for result in run_command(carry, pods=pods, config=config, as_json=as_json):
        if not result.facts["verified"] and not result.facts["partial"]:
            _fail_incomplete(result.facts)


@app.command()
def logs(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID|TASK_ID")],
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
    state: Annotated[str, typer.Argument()] = "INIT",
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


@app.command()
def report(
    flows: results.Flows = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the page")] = None,
    as_json: Json = False,
) -> None:
    """Draw a flow's page from its evidence; for several flows, one page that compares them."""
    from pytest_wf.report import default_place
    from pytest_wf.report.page import write_report

    with user_errors(as_json):
        redactor = print_bare_header(Path.cwd(), err=as_json)
        flow_dirs = flow_dirs_of(flows or (), newest=True)
        written = write_report(flow_dirs, out or default_place(flow_dirs), redactor)
        print_lines([json.dumps({"path": str(written)}) if as_json else f"report: {written}"])


apply_to(app)


def main() -> None:
    """Entry point of the `wf` script."""
    for stream in (sys.stdout, sys.stderr):
        # a terminal that lacks a character must not lose the line
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--json" in takewhile("--".__ne__, sys.argv[1:]):
        sys.exit(_answer_in_json())
    # as pytest does; 2 is pytest's status for an interrupted flow
    _UsageError.exit_code = 4
    app()


def _answer_in_json() -> int:
    """Run the command; report an unknown word as any other mistake."""
    try:
        return int(app(standalone_mode=False) or 0)
    except _UsageError as e:
        tell(WfError(e.format_message(), "Look at `wf --help`."), "config", as_json=True)
        return 4


def _show_verdict(result: Verdict) -> None:
    for finding in result.findings:
        first, *more = finding.sentence.splitlines() or [""]
        print_lines([f"{finding.status:<8} {finding.check:<18} {first}"])
        print_lines(f"{'':<27} {line}" for line in more)
    print_lines([result.last_line])


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
