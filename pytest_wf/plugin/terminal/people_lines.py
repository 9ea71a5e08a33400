"""The lines for people: one for the header, one per phase, and a table of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_wf.config.ranking import rank
from pytest_wf.console.columns import (
    BAD,
    BOLD,
    DIM,
    GOOD,
    Line,
    Part,
    columns_of,
    shortened,
)
from pytest_wf.console.progress import size, span
from pytest_wf.console.row_table import TableRow, row_table
from pytest_wf.court.next_command import trained_again
from pytest_wf.flow.header import header_line
from pytest_wf.flow.summary import following_command
from pytest_wf.plugin.failure_text import indented, relative_path
from pytest_wf.project.parameters import SEED, differing, parameters_of, shown
from pytest_wf.wire.states import COUNTS, count

if TYPE_CHECKING:
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState


class PeopleLines:
    """A flow in lines for people; digests are only in JUnit and in the contract lines."""

    #: Whether pytest's own letters and progress are shown, too.
    has_letters = False

    def __init__(self, width: Callable[[], int | None]) -> None:
        self._width = width

    def header(self, flow: FlowState) -> list[Line]:
        """The facts of the contract's header in one line."""
        return [[Part(header_line(flow.project, mode="flow", flow_id=flow.flow_id), DIM)]]

    def phase(self, record: PhaseRecord, verdict: Verdict, flow: FlowState) -> list[Line]:
        """A phase: its result, its time, and a short description of its work."""
        contract, failure = record.contract, record.failure
        word, style, detail = record.status, {"ok": GOOD}.get(record.status, DIM), ""
        if failure is not None or not verdict.phase_pass:
            code = failure.code if failure is not None else verdict.code
            word, style = f"FAILED {code}", BAD
            detail = (failure.text if failure is not None else "") or verdict.halt_reason
            if not verdict.enforced:
                detail = f"not enforced: {detail}"
        detail = detail or record.skipped or detail_of(contract.code, record.facts)
        took = _wait_s(flow, record) if contract.code == "P70" else record.duration_s
        return [self._phase_line(flow, contract.code, Part(word, style), took, detail)]

    def halted(self, code: str, flow: FlowState) -> list[Line]:
        """A phase that a halt skipped."""
        halted = f"halted by {_halt(flow)}"
        return [self._phase_line(flow, code, Part("skipped", DIM), None, halted)]

    def end(self, flow: FlowState, summary: Mapping[str, Any], page: str) -> list[Line]:
        """The table of the rows, the halt, the cost, the page, and the command to run next."""
        lines: list[Line] = [*_rows(flow, self._width())]
        if flow.halt is not None:
            text = f"WF-{flow.halt.code} {flow.halt}: {indented(flow.halt.text)}"
            lines.append([Part(text, BAD)])
        notes = summary.get("notes") or []
        lines += [[Part(note["text"], BAD)] for note in notes if note["code"] == "budget"]
        cost = _cost(summary)
        lines += [[Part(cost)]] if cost else []
        lines += [[Part(page)]] if page else []
        lines.append([Part(f"evidence: {relative_path(str(flow.store.dir))}", DIM)])
        following = (summary.get("error") or {}).get("next") or following_command(flow)
        if following:
            what = ""
            if summary.get("failure_kind") == "row-failed":
                what = f"  # {trained_again(row.failure_class for row in flow.watched.rows)}"
            lines.append([Part("next: "), Part(str(following), BOLD), Part(what, DIM)])
        return lines

    def _phase_line(
        self, flow: FlowState, code: str, word: Part, took_s: float | None, detail: str
    ) -> Line:
        name = max(len(contract.name) for contract in flow.contracts.values())
        pod = f"{flow.member:<6}  " if flow.member else ""
        took = "" if took_s is None else _time(took_s)
        first = " ".join(detail.split("\n", 1)[0].split())
        begin = f"{code} {flow.contracts[code].name:<{name}}  {pod}"
        status = f"{word.text:<10}"
        rest = f"  {took:>8}" + (f"  {first}" if first else "")
        width = self._width()
        if width is not None:
            rest = shortened(rest, width - columns_of(begin + status))
        return [Part(begin), word._replace(text=status), Part(rest)]


def _wait_s(flow: FlowState, record: PhaseRecord) -> float:
    """How long the flow waited for the rows: their tests come before the phase's own."""
    code, end = record.contract.code, record.ended_at or datetime.now(timezone.utc)
    parts = [flow, *flow.members.values()]
    ends = (one.ended_at for part in parts for c, one in part.phases.items() if c < code)
    begin = max(filter(None, ends), default=record.started_at)
    return (end - begin).total_seconds()


def _halt(flow: FlowState) -> str:
    return "" if flow.halt is None else f"{flow.halt.phase} (code {flow.halt.code})"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def detail_of(code: str, facts: Mapping[str, Any]) -> str:
    """A core phase's work in a few words; empty for a phase of the user's own."""
    known = _DETAILS.get(code)
    try:
        return known(facts) if known is not None else ""
    except (KeyError, TypeError, AttributeError):
        return ""  # the phase's body did not call the usual operations


def _precheck(facts: Mapping[str, Any]) -> str:
    warnings = len(facts["warnings"])
    said = [_counted(facts["rows"], "row")]
    return ", ".join(said + ([_counted(warnings, "warning")] if warnings else []))


def _ready(facts: Mapping[str, Any]) -> str:
    names = [str(gpu["name"]) for gpu in facts["probe"]["gpus"]]
    gpus = ", ".join(f"{names.count(name)}x {name}" for name in dict.fromkeys(names))
    return f"{facts['connection']['host']}, {gpus or 'no GPU'}, {facts['state']}"


def _bootstrap(facts: Mapping[str, Any]) -> str:
    if facts.get("verified_only"):
        return "verified"
    installed = facts["installed"]
    return f"installed {', '.join(map(str, installed))}" if installed else "nothing to install"


def _checkout(facts: Mapping[str, Any]) -> str:
    torch = facts.get("torch")
    version = torch.get("version") if isinstance(torch, Mapping) else torch
    said = [facts["git_sha"][:8], facts["branch"], f"torch {version}" if version else ""]
    return " ".join(str(part) for part in said if part)


def _fetch(facts: Mapping[str, Any]) -> str:
    return f"{_counted(len(facts['runs']), 'run')}, {size(facts['bytes'])}"


def _monitor(facts: Mapping[str, Any]) -> str:
    return _rows_in_words(facts["counts"])


def _rows_in_words(counts: Mapping[str, int]) -> str:
    """The counts of a sweep, such as ``3 rows: 2 ok, 1 failed``."""
    kinds = [name for name in COUNTS if name != "total" and counts.get(name)]
    said = ", ".join(f"{counts[name]} {_COUNTS.get(name, name)}" for name in kinds)
    return ": ".join(filter(None, [_counted(counts["total"], "row"), said]))


#: Counts whose names in records are not for people.
_COUNTS = {
    "in_progress": "running",
    "missing_dir": "pending",
    "parse_error": "unreadable",
    "not_selected": "not selected",
}


def _teardown(facts: Mapping[str, Any]) -> str:
    if facts["deleted"]:
        return "the pod is deleted"
    if not facts["kept"]:
        return "there is no pod"
    price = facts.get("usd_per_hour")
    return f"{facts['kept']} is kept" + (f" at ${price:g}/h" if price is not None else "")


_DETAILS = {
    "P00": _precheck,
    "P10": lambda facts: str(facts["name"]),
    "P20": lambda facts: f"{facts['name']}, {facts['source']}",
    "P30": _ready,
    "P40": _bootstrap,
    "P50": _checkout,
    "P60": lambda facts: (
        f"{_counted(len(facts['to_run']), 'row')} to train, {facts['campaign_id']}"
    ),
    "P70": _monitor,
    "P80": _fetch,
    "P90": _teardown,
}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _rows(flow: FlowState, width: int | None) -> list[Line]:
    rows = flow.watched.rows
    if not rows:
        return []
    of_csv = flow.project.all_rows if _is_of_the_campaign(flow) else ()
    planned = {row.run_id: row for row in of_csv}
    parameters = {
        row.run_id: parameters_of(row.config, row.seed, row.argv)
        for row in (planned.get(status.run_id) for status in rows)
        if row is not None
    }
    names = sorted(differing(parameters.values()), key=lambda name: name == SEED)
    listed = [
        TableRow(
            status,
            {name: shown(parameters.get(status.run_id, {}).get(name)) for name in names},
        )
        for status in rows
    ]
    head = _rows_in_words(count(row.state for row in rows))
    where = f"wf results {relative_path(str(flow.store.dir))}"
    return [
        [Part("")],
        [Part(head, BOLD)],
        *row_table(listed, rank(rows, flow.config.wf_rank_by), width, more=where),
    ]


def _is_of_the_campaign(flow: FlowState) -> bool:
    """Whether the rows of the flow's CSV are those of its campaign.

    P60 has checked it, unless the flow launched nothing.
    """
    if flow.project.options.sweep != "skip":
        return True
    manifest = flow.project.manifest
    return manifest is not None and manifest.sha256 == flow.fact("P70", "manifest_sha256")


def _cost(summary: Mapping[str, Any]) -> str:
    price, cost = summary.get("usd_per_hour"), summary.get("cost_usd")
    if price is None and cost is None:
        return ""
    said = [f"${cost:.2f}" if cost is not None else "unknown"]
    said += [f"${price:g} an hour"] if price is not None else []
    return f"cost: {', '.join(said)}"
