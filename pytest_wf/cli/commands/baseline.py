"""`wf baseline`: the rows that 'baseline' refers to in an expectation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pytest_wf.cli.output import Json, print_bare_header, print_lines, user_errors
from pytest_wf.errors import InputError, Problem
from pytest_wf.project.baseline import BASELINE, read_baseline
from pytest_wf.project.project import find_root

app = typer.Typer(
    no_args_is_help=True,
    help="Set or show the rows that `baseline` means in expectations (flows/baseline.json).",
)


@app.command("set")
def set_(
    flow_dir: Annotated[Path, typer.Argument(help="The folder of a flow's evidence")],
    as_json: Json = False,
) -> None:
    """Record the rows of a good flow as the baseline, after verifying its folder."""
    from pytest_wf.project.baseline_writer import set_baseline

    with user_errors(as_json):
        print_bare_header(Path.cwd(), err=as_json)
        done = set_baseline(find_root(Path.cwd()), flow_dir)
        facts: dict[str, Any] = {
            "path": os.path.relpath(done.path),
            "sha256": done.sha256,
            "flow_id": done.record.flow_id,
            "rows": sorted(done.record.rows),
            "replaced": done.before.record.flow_id if done.before is not None else None,
            "kept_at": os.path.relpath(done.kept_at) if done.kept_at is not None else None,
        }
        if as_json:
            print_lines([json.dumps(facts, sort_keys=True)])
            return
        print_lines([f"baseline: {facts['path']}, {len(facts['rows'])} rows of {facts['flow_id']}"])
        if facts["replaced"] or facts["kept_at"]:
            was = facts["replaced"] or "one that could not be read"
            kept = f", kept as {facts['kept_at']}" if facts["kept_at"] else " with the same numbers"
            print_lines([f"replaced: {was}{kept}"])


@app.command("show")
def show(as_json: Json = False) -> None:
    """Show the baseline's rows with their metrics, and the flow that they come from."""
    with user_errors(as_json):
        print_bare_header(Path.cwd(), err=as_json)
        found = read_baseline(find_root(Path.cwd()))
        if found is None:
            remedy = "Take the rows of a good flow with `wf baseline set <flow_dir>`."
            raise InputError(
                [Problem(str(BASELINE), None, "", None, "there is no baseline.", remedy)]
            )
        record = found.record
        if as_json:
            print_lines([json.dumps({**record.model_dump(mode="json"), "sha256": found.sha256})])
            return
        print_lines(
            [
                f"baseline: {BASELINE}, {len(record.rows)} rows of {record.flow_id}, "
                f"set {record.set_at}, git_sha={record.git_sha or '?'}"
            ]
        )
        for run_id, row in sorted(record.rows.items()):
            last = {k: v for k, v in sorted(row.metrics.items()) if not k.endswith(")")}
            shown = " ".join(f"{name}={value:g}" for name, value in last.items())
            print_lines([f"  {run_id}: {shown}"])
