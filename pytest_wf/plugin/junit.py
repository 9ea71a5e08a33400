"""A flow's JUnit report: a case for each phase and row, with the facts of its record.

pytest's own reporter writes the file; it is completed here before that. The schema of
pytest's xunit2 family, which is also that of the Jenkins xUnit plugin, has no properties in a
test case, and the Jenkins plugin skips a file that violates it. So the facts of a case are
`<case name>/<fact>` among the properties of the suite, for programs, and in the
output of the case, where GitLab and Jenkins show them. With ``junit_family=xunit1`` they are
properties of the case.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from _pytest import junitxml

from pytest_wf.flow.operations.fetch import left_out_notes
from pytest_wf.flow.summary import pod_cost
from pytest_wf.wire.failures import EXPECT, KINDS
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.safe_text import readable

if TYPE_CHECKING:
    from pytest_wf.config.ranking import Ranking
    from pytest_wf.evidence.records import Verdict
    from pytest_wf.flow.phase import PhaseRecord
    from pytest_wf.flow.state import FlowState
    from pytest_wf.wire.rows import RowStatus

#: The most runs whose left-out files P80's case lists.
_MOST_LEFT_OUT = 50
#: Facts of the summary that the suite shows, if known.
_OF_THE_SUITE = (
    "flow_id",
    "ok",
    "exit_code",
    "failed_phase",
    "failure_code",
    "failure_kind",
    "duration_s",
    "chain_head",
    "digest",
    "teardown_mode",
    "usd_per_hour",
    "cost_usd",
)


class JUnitView:
    """Adds the facts of phases and rows to pytest's own JUnit report."""

    def __init__(self, config: pytest.Config, redactor: Redactor) -> None:
        self._config = config
        self._redactor = redactor
        #: Rows by the test that shows their training; other tests only use the result.
        self._shown_by: dict[str, str] = {}
        # `complete` moves the properties to where the schema allows them
        config.addinivalue_line(
            "filterwarnings", "ignore:record_property is incompatible:pytest.PytestWarning"
        )

    @contextmanager
    def written_whole(self) -> Iterator[None]:
        """Make pytest write its file beside the target, and rename it when it is complete.

        pytest writes in place: a full disk would leave half a file and destroy the previous one.
        """
        xml = self._config.stash.get(junitxml.xml_key, None)
        if xml is None or (os.path.exists(xml.logfile) and not os.path.isfile(xml.logfile)):
            yield
            return
        path, xml.logfile = xml.logfile, f"{os.path.realpath(xml.logfile)}.{os.getpid()}.new"
        try:
            yield
            if os.path.exists(xml.logfile):
                os.replace(xml.logfile, os.path.realpath(path))
        finally:
            with suppress(OSError):
                os.unlink(xml.logfile)
            xml.logfile = path

    def phase_ended(
        self, item: pytest.Item, record: PhaseRecord, verdict: Verdict, flow: FlowState
    ) -> None:
        """Add the facts to the phase's case."""
        code = record.contract.code
        facts: dict[str, Any] = {
            "phase": code,
            "name": record.contract.name,
            "pod": flow.member or None,
            "status": record.status,
            "code": verdict.code,
            "kind": record.failure.kind if record.failure else None,
            "verdict": "pass" if verdict.phase_pass else "fail",
            "evidence_sha256": verdict.evidence_sha256,
            "evidence": record.evidence_path,
            "skip_reason": record.skipped or None,
        }
        if code == "P80":
            notes = list(left_out_notes(record.facts).items())[:_MOST_LEFT_OUT]
            facts.update({f"left_out.{run_id}": note.text for run_id, note in notes})
        if code in ("P90", "P99"):
            facts["usd_per_hour"], facts["cost_usd"] = pod_cost(flow)
        if code == "P99":
            facts["chain_head"] = record.verdict_sha256
        _add_properties(item, facts)

    def row_ended(self, item: pytest.Item, code: str, row: RowStatus, pod: str = "") -> None:
        """Add the facts to the row's case; its time is that of the training.

        `pod` is the member that trains the row.
        """
        first = self._shown_by.setdefault(row.run_id, item.nodeid) == item.nodeid
        facts = {
            "phase": code,
            "run_id": row.run_id,
            "pod": pod or None,
            "row_state": row.state,
            "code": _row_code(row),
            "attempts": row.attempts,
            "resumed_from": row.resumed_from,
            "exit_code": row.exit_code,
            "failure_class": row.failure_class,
            "duration_s": row.duration_s,
            "case": "row" if first else "question",
        }
        facts.update({f"metric.{k}": v for k, v in row.metrics.items()})
        for number, judged in enumerate(row.expectations, start=1):
            word = "met" if judged["ok"] else "broken"
            facts[f"expect.{number}"] = f"{word}: {judged['expected']}, was {judged['was']}"
        _add_properties(item, facts)

    def halted(self, item: pytest.Item, code: str, run_id: str | None) -> None:
        """Add phase and row to a case that a halt skipped."""
        _add_properties(item, {"phase": code, "run_id": run_id, "status": "halted"})

    def complete(
        self, summary: dict[str, Any], rows: Sequence[RowStatus], ranking: Ranking
    ) -> None:
        """Move times and facts to where the schema allows them, before the file is written.

        `summary` is the flow's summary; empty if none was written. `rows` have their latest
        status: a row may have got a note after its case, when it was fetched, and has its rank
        only now.
        """
        xml = self._config.stash.get(junitxml.xml_key, None)
        if xml is None:
            return
        shown = self._redactor.shown
        for name, value in _suite_facts(summary):
            xml.add_global_property(name, shown(value))
        cases = []
        for reporter in xml.node_reporters_ordered:
            case = reporter.to_xml()
            _change_texts(case, shown)
            reporter.to_xml = lambda case=case: case  # type: ignore[method-assign,misc]
            cases.append(case)
        late = {
            row.run_id: {**_notes(row, shown), **_rank(ranking, row.run_id)}
            for row in rows
            if row.notes or row.run_id in ranking.ranks
        }
        names = Counter(case.get("name") for case in cases)
        for case in cases:
            facts = _facts_of(case)
            if facts.get("wf.case") == "row" and facts["wf.run_id"] in late:
                facts.update(_add_facts(case, late[facts["wf.run_id"]]))
            if facts.get("wf.case") == "row" and "wf.duration_s" in facts:
                case.set("time", f"{float(facts['wf.duration_s']):.3f}")
            if xml.family != "xunit1" and facts:
                _move_out(case)
                name = case.get("name", "")
                prefix = name if names[name] == 1 else f"{case.get('classname')}.{name}"
                for fact, value in facts.items():
                    xml.add_global_property(f"{prefix}/{fact}", value)

    def write_no_report(self) -> None:
        """Keep the old report: the flow was refused at collection."""
        junitxml.pytest_unconfigure(self._config)


def _change_texts(element: ElementTree.Element, change: Callable[[str], str]) -> None:
    for part in element.iter():
        part.text = part.text and change(part.text)
        for name, value in part.items():
            part.set(name, change(value))


def _add_properties(item: pytest.Item, facts: dict[str, Any]) -> None:
    item.user_properties.extend(_texts(facts))


def _texts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values, as text, of the known facts."""
    return [
        (f"wf.{readable(name)}", readable(value if isinstance(value, str) else json.dumps(value)))
        for name, value in facts.items()
        if value is not None
    ]


def _facts_of(case: ElementTree.Element) -> dict[str, str]:
    """The properties of a case, including those that a phase's author recorded."""
    found = case.iterfind("properties/property")
    return {p.get("name", ""): p.get("value", "") for p in found}


def _notes(row: RowStatus, shown: Callable[[str], str]) -> dict[str, str]:
    return {
        f"wf.note.{number}": shown(f"{note.code}: {note.text}")
        for number, note in enumerate(row.notes, start=1)
    }


def _rank(ranking: Ranking, run_id: str) -> dict[str, str]:
    place = ranking.ranks.get(run_id)
    return {} if place is None else {"wf.rank": str(place)}


def _add_facts(case: ElementTree.Element, facts: dict[str, str]) -> dict[str, str]:
    properties = case.find("properties")
    assert properties is not None  # it has the row's other facts
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    return facts


def _move_out(case: ElementTree.Element) -> None:
    """Turn the properties of a case into lines of its output."""
    lines = [f"{name}={value}" for name, value in _facts_of(case).items()]
    for properties in case.findall("properties"):
        case.remove(properties)
    output = case.find("system-out")
    if output is None:
        output = ElementTree.SubElement(case, "system-out")
    output.text = "\n".join(lines + ([output.text] if output.text else []))


def _suite_facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    counts, best = summary.get("counts") or {}, summary.get("best") or {}
    facts = {name: summary.get(name) for name in _OF_THE_SUITE}
    facts |= {f"best.{name}": value for name, value in best.items()}
    return _texts({**facts, **{f"count.{name}": n for name, n in counts.items()}})


def _row_code(row: RowStatus) -> int | None:
    if row.ok is False:
        return KINDS["row-expectation" if row.failure_class == EXPECT else "row-failed"]
    return 0 if row.ok else None
