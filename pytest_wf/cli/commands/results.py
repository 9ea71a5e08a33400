"""`wf results` and `wf costs`: the rows of flows with typed values, and what they cost."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pytest_wf.cli.flow_dirs import flow_dirs_of
from pytest_wf.cli.output import (
    Json,
    columns,
    print_bare_header,
    print_lines,
    print_parts,
    say,
    user_errors,
)
from pytest_wf.console.columns import BOLD, Column, Line, Part, table
from pytest_wf.console.row_table import TableRow, row_table
from pytest_wf.errors import InputError, Problem
from pytest_wf.project.parameters import SEED, differing, shown
from pytest_wf.wire.states import UNKNOWN

if TYPE_CHECKING:
    from pytest_wf.report.costs import FlowCost
    from pytest_wf.report.folder import Folder
    from pytest_wf.report.results import Results

app = typer.Typer()

Flows = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FLOW...", help="Folders of flows; the newest flow by default"),
]


@app.command()
def results(
    flows: Flows = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: a header, then one line per row")
    ] = False,
    rank_by: Annotated[
        str, typer.Option("--rank-by", metavar="RULE", help="Rank by this instead of WF_RANK_BY")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the rows of flows: parameters, metrics, cost; the best row first.

    Reads evidence alone. --csv and --json have every column, with typed values, and all rows in
    the order of the flows and their sweeps; the column rank says which is best.
    """
    from pytest_wf.report.results import results_of

    is_data = as_csv or as_json
    with user_errors(as_json):
        if as_csv and as_json:
            reason, remedy = "not together with --json.", "Choose one of them."
            raise InputError([Problem("wf results", None, "--csv", None, reason, remedy)])
        print_bare_header(Path.cwd(), err=is_data)
        found = results_of(flow_dirs_of(flows or (), newest=True), rank_by)
        for remark in found.remarks:
            say(remark)
        if as_csv:
            print_lines(found.as_csv().rstrip("\n").split("\n"))
        elif as_json:
            document = {"columns": found.columns, "best": found.best, "rows": found.rows}
            print_lines([json.dumps(_plain(document), sort_keys=True)])
        else:
            print_parts(_table(found) or [[Part("no rows")]])


@app.command()
def costs(
    flows: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FLOW...", help="Folders of flows; every flow by default"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the cost of flows, their pods and their rows, as far as their evidence says.

    A flow costs its pod's price for the time from the rental to the flow's end, or the amount
    that the provider stated when the pod was deleted. A cost that no record states is unknown.
    """
    from pytest_wf.report.costs import cost_of, total
    from pytest_wf.report.folder import read_folders

    with user_errors(as_json):
        print_bare_header(Path.cwd(), err=as_json)
        folders = flow_dirs_of(flows or (), newest=False)
        found = [(cost_of(folder), _rows_cost(folder)) for folder in read_folders(folders)]
        known, unknown = total([cost for cost, _ in found])
        if as_json:
            listed = [{**cost.as_json(), "rows": rows} for cost, rows in found]
            document = {"flows": listed, "total_usd": known, "flows_unknown": unknown}
            print_lines([json.dumps(document, sort_keys=True)])
        else:
            print_parts(_costs_table(found))
            said = _dollars(known if len(found) > unknown else None)
            more = f"; the cost of {unknown} of {len(found)} flows is unknown" if unknown else ""
            print_lines([f"total: {said}{more}"])


def _table(found: Results) -> list[Line]:
    names = sorted(differing(found.parameters), key=lambda name: name == SEED)
    rows = []
    for row, status, parameters in zip(found.rows, found.statuses, found.parameters, strict=True):
        cells = {name: shown(parameters.get(name)) for name in names}
        # no parameter's name contains a blank
        if row["cost_usd"] is not None:
            cells["row cost"] = _dollars(row["cost_usd"])
        rows.append(TableRow(status, cells))
    return row_table(rows, found.ranking, columns(), more="wf results --csv")


def _rows_cost(folder: Folder) -> dict[str, float | None]:
    from pytest_wf.report.results import results_of

    return {row["run_id"]: row["cost_usd"] for row in results_of([folder.path]).rows}


def _costs_table(found: Sequence[tuple[FlowCost, dict[str, float | None]]]) -> list[Line]:
    def column(title: str, texts: list[str], *, right: bool = True) -> Column:
        return Column(title, [Part(text) for text in texts], right)

    costs = [cost for cost, _ in found]
    of_rows = [[value for value in rows.values() if value is not None] for _, rows in found]
    left = [cost.rows_left for cost in costs]
    lines: list[Line] = [
        *table(
            [
                Column("flow", [Part(cost.flow_id, BOLD) for cost in costs]),
                column("pod", [cost.pod or "none" for cost in costs], right=False),
                column("$/h", [_known(cost.usd_per_hour, "{:g}") for cost in costs]),
                column("hours", [_known(cost.hours, "{:.2f}") for cost in costs]),
                column("cost", [_dollars(cost.cost_usd) for cost in costs]),
                column("rows", [_dollars(sum(own) if own else None) for own in of_rows]),
                *([column("rows left", [str(n or "") for n in left])] if any(left) else []),
                column("from", [cost.source for cost in costs], right=False),
                column("pod now", ["kept" if c.is_kept else "" for c in costs], right=False),
            ],
            columns(),
        ).lines
    ]
    return lines


def _known(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else form.format(value)


def _dollars(value: float | None) -> str:
    return UNKNOWN if value is None else f"${value:.4g}" if value < 0.1 else f"${value:.2f}"


def _plain(value: Any) -> Any:
    """`value` with NaN and infinity, which JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
