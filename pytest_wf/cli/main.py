"""The `wf` command: its groups of commands, and `wf flow`, `wf completion` and `wf --version`.

Every command prints the header of the terminal contract with ``mode=primitive`` (on stderr
with ``--json``, as stdout is then one JSON document). Mistakes of the user end with exit
status 4, a refused or failed operation with 1. Neither shows a traceback, and stdout then has no
document.
"""

from __future__ import annotations

import io
import os
import sys
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_wf import __version__
from pytest_wf.cli.catalogue import CATALOGUE, EXIT_STATUSES, SHELLS, apply_to
from pytest_wf.cli.commands import (
    baseline,
    docs,
    evidence,
    explain,
    fetch,
    keys,
    moves,
    pods,
    preparation,
    prune,
    report,
    results,
    state,
    sweep,
    tasks,
)
from pytest_wf.cli.output import print_lines, tell, user_errors
from pytest_wf.errors import InputError, Problem, WfError
from pytest_wf.project.flow_options import FLOW_OPTIONS
from pytest_wf.project.project import find_root
from pytest_wf.wire.process import heed_children

app = typer.Typer(
    name="wf",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Training runs on GPU pods: a whole flow, its steps one by one, and its results.",
    epilog=EXIT_STATUSES,
)

app.add_typer(preparation.app)
app.add_typer(sweep.app)
app.add_typer(fetch.app)
app.add_typer(state.app)
app.add_typer(report.app)
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


apply_to(app)


def main() -> None:
    """Entry point of the `wf` script."""
    heed_children()
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
