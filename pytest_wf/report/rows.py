"""The rows of a flow: their latest status in its evidence, and their fetched runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_wf.config.expect import finite
from pytest_wf.console.progress import span
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.errors import InputError
from pytest_wf.evidence.fetch_record import record_name
from pytest_wf.evidence.records import row_status
from pytest_wf.project import manifest
from pytest_wf.project.parameters import Parameters, parameters_of
from pytest_wf.report import trackers
from pytest_wf.report.costs import price_of, row_cost
from pytest_wf.report.folder import Folder, PhaseFiles
from pytest_wf.report.links import Links
from pytest_wf.report.model import PageRow
from pytest_wf.report.runs import FetchedRun, Stated, find_run, parsed, read_regular
from pytest_wf.wire.failures import EXPECT
from pytest_wf.wire.rows import Live, Row, RowStatus, measures
from pytest_wf.wire.safe_text import readable
from pytest_wf.wire.states import ROW_ENDED, ROW_FAILED, RUNNING, UNKNOWN

_TAIL_LINES = 40
#: The most rows whose log's end is on the page.
MAX_TAILS = 200
_MAX_CHARS = 2_000
#: The state of a row of a flow that ended and launched nothing.
NOT_LAUNCHED = "not launched"
_MAX_TAILS_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Found:
    """A row, and its fetched run if that is here."""

    row: PageRow
    run: FetchedRun | None


def rows_of(
    folder: Folder, flow: int, links: Links, running: Sequence[RowStatus] = ()
) -> list[Found]:
    """Every row of the flow, in the order of its manifest.

    `running` are the rows of a running flow with their latest status.
    """
    seen = {row.run_id: row for row in running} or _seen(folder)
    planned = _planned(folder)
    stated = _stated(folder)
    campaign = str(folder.last("campaign_id") or "")
    project_dir = folder.start.project_dir if folder.start is not None else ""
    gpus, price = _gpus(folder), price_of(folder)
    known = folder.start.rows if folder.start is not None else []
    names = dict.fromkeys([*(seen or known), *known])
    found = []
    tails = _log_tails(folder)
    owners = folder.fleet.assignment if folder.fleet is not None else {}
    on_page = 0
    for index, run_id in enumerate(names):
        row = PageRow(run_id, flow, index, state=_unseen(folder))
        row.pod = owners[run_id][0] if run_id in owners else ""
        _fill_plan(row, planned.get(run_id))
        if run_id in seen:
            _fill(row, seen[run_id], gpus)
        run = None
        if campaign:
            trained_by = row.adopted_from or campaign
            run = find_run(folder.path, project_dir, run_id, trained_by, stated.get(run_id))
        if run is not None:
            _fill_from_run(row, run, links, gpus)
        row.cost_usd = row_cost(price, row)
        if row.state in ROW_FAILED and on_page < MAX_TAILS:
            on_page += 1
            here = run.log_tail(_TAIL_LINES) if run is not None else ""
            row.log_tail = here or tails.get(run_id, "")
        found.append(Found(row, run))
    return found


def gpus_of(folder: Folder) -> str:
    """The pod's GPUs in words; empty if unknown."""
    gpus = _gpus(folder)
    return "" if gpus is None else _counted([str(gpu.get("name")) for gpu in gpus]) or "none"


def _gpus(folder: Folder) -> list[dict[str, Any]] | None:
    """The pod's GPUs as it reported them; None if unknown."""
    probe = folder.fact("P30", "probe")
    gpus = probe.get("gpus") if isinstance(probe, dict) else folder.fact("P40", "gpus")
    return [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else None


def _gpu(mine: list[Any] | None, gpus: list[dict[str, Any]] | None) -> str:
    """The GPUs of a row, by number and name, as far as both are known."""
    if mine is None:
        return ""
    if not mine:
        return "none"
    names = [
        str(gpu["name"])
        for gpu in gpus or ()
        if gpu.get("name")
        and any(
            str(gpu.get("index")) == str(one) or str(gpu.get("uuid", "")).startswith(str(one))
            for one in mine
        )
    ]
    numbers = ", ".join(_text(one)[:12] for one in mine)
    said = f"GPU{'s' if len(mine) > 1 else ''} {numbers}"
    if len(names) != len(mine):
        return said
    return f"{said}: {_text(names[0]) if len(names) == 1 else _counted(names)}"


def _counted(names: list[str]) -> str:
    counted = {name: names.count(name) for name in names}
    return ", ".join(f"{n}x {_text(name)}" for name, n in counted.items())


def _seen(folder: Folder) -> dict[str, RowStatus]:
    """The latest recorded rows, by run id, in the campaign's order."""
    found = [files.evidence for _, files in sorted(folder.phases.items()) if files.evidence]
    recorded = [evidence for evidence in found if evidence.rows]
    statuses = recorded[-1].row_statuses() if recorded else {}
    seen = dict(sorted(statuses.items(), key=lambda item: item[1].index))
    for row in folder.summary.rows if folder.summary is not None else ():
        known = seen.get(row.run_id)
        if known is None or known.state == UNKNOWN:
            seen[row.run_id] = row_status(row.run_id, row.model_dump(mode="json"))
    return seen


def _unseen(folder: Folder) -> str:
    """The state of a row without a record: known only if nothing was ever launched.

    A flow without a summary has launched nothing if a phase before P60 was never judged.
    """
    if any("P60" in part.phases for part in folder.parts):
        return "unknown"
    known = folder.start.contracts if folder.start is not None else CONTRACTS
    judged = {code for code, files in folder.phases.items() if files.verdict is not None}
    never_came = any(code < "P60" and code not in judged for code in known)
    return NOT_LAUNCHED if folder.summary is not None or never_came else "unknown"


def _planned(folder: Folder) -> dict[str, Row]:
    """The frozen manifest's rows, if the flow has a copy of it.

    A flow that launched nothing has none; its own CSV is used if it has the manifest's digest.
    """
    seen = folder.fact("P70", "manifest_sha256")
    places = [("P60", "manifest", part) for part in folder.parts]
    for code, role, part in (*places, ("P00", "manifest-source", folder)):
        evidence = part.phases.get(code, PhaseFiles()).evidence
        for artifact in evidence.artifacts if evidence is not None else ():
            if artifact.role != role or (code == "P00" and artifact.sha256 != seen):
                continue
            raw = read_regular(part.path / Path(artifact.path).name, manifest.MAX_BYTES)
            try:
                return {row.run_id: row for row in manifest.read(raw or b"", "manifest").rows}
            except InputError:
                return {}
    return {}


def _log_tails(folder: Folder) -> dict[str, str]:
    """Ends of failed rows' logs by run id, as P70's evidence has them."""
    evidence = folder.phases.get("P70", PhaseFiles()).evidence
    for artifact in evidence.artifacts if evidence is not None else ():
        if artifact.role == "log-tails":
            raw = read_regular(folder.path / Path(artifact.path).name, _MAX_TAILS_BYTES)
            return {k: readable(v) for k, v in parsed(raw or b"").items() if isinstance(v, str)}
    return {}


def _stated(folder: Folder) -> dict[str, Stated]:
    """Commit records of fetched runs by run id, as P80's evidence of every pod names them."""
    found: dict[str, Stated] = {}
    for part in folder.parts:
        found.update(_stated_of(part))
    return found


def _stated_of(folder: Folder) -> dict[str, Stated]:
    evidence = folder.phases.get("P80", PhaseFiles()).evidence
    if evidence is None:
        return {}
    records = {Path(a.path).name: a for a in evidence.artifacts if a.role == "fetch-record"}
    runs = evidence.facts.get("runs")
    return {
        run_id: Stated(str(run.get("path")), records[record_name(run_id)].sha256)
        for run_id, run in (runs.items() if isinstance(runs, dict) else ())
        if isinstance(run, dict) and record_name(run_id) in records
    }


def _fill_plan(row: PageRow, planned: Row | None) -> None:
    if planned is not None:
        row.config, row.seed = planned.config, str(planned.seed)
        row.overrides, row.remark = _text(planned.overrides), _text(planned.notes)
        row.parameters = _parameters(planned.config, planned.seed, planned.argv)


def _fill(row: PageRow, seen: RowStatus, gpus: list[dict[str, Any]] | None) -> None:
    """Add the data of the evidence to the row."""
    row.state, row.ok, row.exit_code = seen.state, seen.ok, seen.exit_code
    row.attempts = seen.attempts
    row.failure_class = _text(seen.failure_class)
    row.reason = _text(seen.reason)
    row.started_at = _text(seen.started_at)
    row.finished_at = _text(seen.finished_at)
    row.duration_s = seen.duration_s
    row.adopted_from = _text(seen.adopted_from)
    row.resumed_from = _text(seen.resumed_from)
    row.gpu = _gpu(seen.gpus, gpus) or row.gpu
    if seen.gpus and gpus:
        row.gpu_share = min(1.0, len(seen.gpus) / len(gpus))
    row.noted = ", ".join(dict.fromkeys(note.code for note in seen.notes))
    row.notes += [f"{note.code}: {_text(note.text)}" for note in seen.notes]
    if seen.failure_class == EXPECT:
        row.notes.append("Its training succeeded; its final metrics were judged.")
    row.so_far = _so_far(seen) if row.state == RUNNING else ""
    for found in (seen.progress or {}, seen.metrics):
        row.metrics.update({_text(k): _metric(v) for k, v in found.items()})
    for name, one in seen.extremes.items():
        ends = (_metric(one.min), one.min_step, _metric(one.max), one.max_step)
        row.extremes[_text(name)] = ends
    row.sources = {_text(name): _text(source) for name, source in seen.sources.items()}
    row.measures = {_text(k): _metric(v) for k, v in measures(row.metrics, seen.extremes).items()}


def _so_far(seen: RowStatus) -> str:
    """The progress of a row that was running when it was last seen."""
    live, step = seen.live or Live(), finite((seen.progress or {}).get("step"))
    ran, steps, rate = live.ran_s, live.steps, live.steps_per_s
    said = [f"ran {span(ran)} so far"] if ran is not None else []
    if step is not None and steps:
        said.append(f"step {step} of {steps:.0f}")
        if rate and steps > step:
            said.append(f"about {span((steps - step) / rate)} left")
    return ", ".join(said)


def _fill_from_run(
    row: PageRow, run: FetchedRun, links: Links, gpus: list[dict[str, Any]] | None
) -> None:
    """Add the data of a fetched run: the end of a row that the flow saw running, and its files."""
    if run.problems:
        row.noted = ", ".join(filter(None, [row.noted, "copy-not-verified"]))
    row.notes += [f"The copy here is not verified: {_text(why)}." for why in run.problems]
    result = run.result()
    if result is not None:
        if row.state not in ROW_ENDED:
            # every view shows the state that the flow saw; the numbers are those that were fetched
            ended = RowStatus(row.run_id, row.state).ended(result)
            _fill(row, ended._replace(state=row.state, ok=row.ok), gpus)
            row.notes.append(f"It ended after this flow last saw it: {result.state}.")
        row.config = row.config or _text(result.config)
        row.seed = row.seed or _text(result.seed)
        row.overrides = row.overrides or _text(result.overrides)
        row.parameters = row.parameters or _parameters(result.config, result.seed, result.overrides)
    row.trackers = trackers.folders_in(run.path, run.digests)
    row.links = tuple(
        links.to(run.path / name, name)
        for name in (
            "out",
            "trackers",
            "stdout.log",
            "metrics.jsonl",
            "summary.json",
            "command.sh",
            "attempts",
        )
        if (run.path / name).exists()
    )


def _parameters(config: str, seed: int, overrides: str | Sequence[str]) -> Parameters:
    found = parameters_of(config, seed, overrides)
    return {
        _text(name): _text(value) if isinstance(value, str) else value
        for name, value in found.items()
    }


def _text(value: object) -> str:
    if value is None:
        return ""
    return readable(str(value))[:_MAX_CHARS]


def _metric(value: object) -> object:
    """A metric for display: a number, or text such as 'nan'."""
    return value if isinstance(value, (int, float)) else _text(value)
