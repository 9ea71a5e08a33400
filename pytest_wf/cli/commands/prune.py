"""`wf prune`: frees disk space on the pod and on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_wf.cli.context import Pods
from pytest_wf.cli.output import Config, Json, Pod, run_command
from pytest_wf.flow.operations.prune import ARCHIVED, COPIES, TREES, Pruning
from pytest_wf.flow.operations.prune import prune as prune_all

app = typer.Typer()


@app.command()
def prune(  # noqa: PLR0913 - each option is a parameter
    archive: Annotated[bool, typer.Option(help="The pod's archive of replaced runs")] = False,
    superseded: Annotated[bool, typer.Option(help="Replaced copies on this machine")] = False,
    trees: Annotated[bool, typer.Option(help="Working trees of old campaigns, on the pod")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed, and remove nothing")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also remove files without another copy")
    ] = False,
    pod: Pod = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove what later campaigns and fetches replaced, on both sides by default.

    Files without another copy are kept and named, unless --yes is given.
    """
    chosen = {ARCHIVED: archive, TREES: trees, COPIES: superseded}
    what = [name for name, is_chosen in chosen.items() if is_chosen] or list(chosen)
    asked = Pruning(what, dry_run, yes)
    run_command(
        lambda context: prune_all(context.project, context.session, asked),
        pods=Pods(pod, on_all=True),
        config=config,
        as_json=as_json,
    )
