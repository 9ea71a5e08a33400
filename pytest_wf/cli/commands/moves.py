"""`wf pod-forget` and `wf sweep-rebalance`: move rows to other pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pytest_wf.cli.context import Context
from pytest_wf.cli.output import Config, Json, run_command, say
from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.fleet import forgotten, row_moves
from pytest_wf.flow.fleet.row_moves import RowMoves
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession

app = typer.Typer()


@app.command("pod-forget")
def pod_forget(
    pod: Annotated[str, typer.Argument(metavar="podK", help="The pod that is gone")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Declare one of several pods permanently gone, so that the others train its rows.

    The pod must not answer. The next flow with `--wf-sweep=resume`, or a flow that is waiting,
    moves its rows if all other pods answer.
    """

    def forget(context: Context) -> Result:
        with _sessions(context) as sessions:
            if pod not in sessions:
                remedy = f"Choose one: {', '.join(sessions)}."
                reason = "no pod of the config has this name."
                raise InputError([Problem("command line", None, "podK", pod, reason, remedy)])
            return forgotten.forget(context.project.root, pod, sessions)

    run_command(forget, config=config, as_json=as_json)


@app.command("sweep-rebalance")
def sweep_rebalance(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the moves without making them")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Move rows that have not begun from busy pods to idle pods, and rows of pods that are gone.

    A flow that waits does this by itself (WF_REBALANCE).
    """

    def move(context: Context) -> Result:
        with _sessions(context, write_nothing=dry_run) as sessions:
            secrets = {} if dry_run else context.secrets()
            moves = RowMoves.of_sessions(sessions, secrets, say, holds_lease=not dry_run)
            steps = [row_moves.described(step) for step in moves.plan(moves.statuses())]
            if not dry_run:
                moves.carry_out(moves.statuses)
            moved = {run_id: owner.as_json() for run_id, owner in moves.moved.items()}
            contacts = {one.name: one.contact for one in moves.partners}
            facts = {"pods": contacts, "dry_run": dry_run, "next": steps, "moved": moved}
            return Result("sweep-rebalance", {"campaign_id": moves.campaign_id, **facts})

    run_command(move, config=config, as_json=as_json)


@contextmanager
def _sessions(context: Context, *, write_nothing: bool = False) -> Iterator[dict[str, PodSession]]:
    """The sessions with all pods, by name; closed at the end."""
    parts = context.several()
    try:
        yield {name: part.session(write_nothing=write_nothing) for name, part in parts.items()}
    finally:
        for part in parts.values():
            part.close()
