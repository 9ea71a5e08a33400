"""The command `wf report`: the page of a flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pytest_wf.cli.commands.results import Flows
from pytest_wf.cli.flow_dirs import flow_dirs_of
from pytest_wf.cli.output import Json, print_bare_header, print_lines, user_errors

app = typer.Typer()


@app.command()
def report(
    flows: Flows = None,
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
