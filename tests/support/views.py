"""What each view of a flow says of its rows, read as a reader of that view would."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from pytest_wf.flow.rows.row_text import OF_MANY
from pytest_wf.plugin.allure.files import categories
from pytest_wf.wire.states import COUNTED_AS, COUNTS, NOT_SELECTED, count
from tests.support.flow_project import FlowRun, Project

CASE = "test_row_trains_to_its_end"
#: What pytest calls the case of a row, by what the row counts as.
_OUTCOMES = {"ok": "passed", "failed": "failed"}


#: What is noted on this machine when results are fetched, after these views were given the row.
OF_THE_FETCH = frozenset({"left-out"})
#: Figures of the summary and of what is drawn from it.
OF_THE_SUMMARY = ("ok", "failed", "not_selected")
BEFORE_THE_FETCH = ("evidence", "allure", "status_table", "status_json")


class Seen(NamedTuple):
    """One row as a view shows it."""

    state: str
    failure_class: str | None
    notes: frozenset[str]


Rows = dict[str, Seen]


class Said(NamedTuple):
    """What one view says: every row, or as much of it as the view shows, and its figures."""

    rows: Rows
    #: By the names of `wire.states.COUNTS`, those that the view has.
    counts: dict[str, int]


def seen(row: Mapping[str, Any]) -> Seen:
    """A row of a JSON view."""
    notes = frozenset(note["code"] for note in row.get("notes") or ())
    return Seen(row["state"], row.get("failure_class"), notes)


def summary(flown: FlowRun) -> Said:
    """flow.summary.json."""
    record = flown.record("flow.summary")
    counts = record["counts"]
    named = {name: counts.get(f"rows_{name}", 0) for name in OF_THE_SUMMARY}
    total = sum(named.values()) + counts.get("rows_open", 0)
    rows = {row["run_id"]: seen(row) for row in record["rows"]}
    _same(
        {row["run_id"]: row["ok"] for row in record["rows"]},
        {run_id: _is_ok(row) for run_id, row in rows.items()},
    )
    return Said(rows, {**named, "total": total})


def evidence(flown: FlowRun) -> Said:
    """P70's evidence."""
    record = flown.record("phase.P70.evidence")
    rows = {run_id: seen(row) for run_id, row in record["rows"].items()}
    return Said(rows, record["facts"]["counts"])


def junit(flown: FlowRun) -> Said:
    """junit.xml: the properties of the suite, and the outcome of each case."""
    tree = ElementTree.parse(flown.root / "reports" / "junit.xml")
    facts = {p.attrib["name"]: p.attrib["value"] for p in tree.iter("property")}
    rows, shown = {}, {}
    for case in tree.iter("testcase"):
        found = re.fullmatch(rf"{CASE}\[(.+)\]", case.attrib["name"])
        if found is None:
            continue
        mine = {
            name.partition("/wf.")[2]: value
            for name, value in facts.items()
            if name.startswith(f"{case.attrib['name']}/wf.")
        }
        told = case.findtext("system-out") or ""
        notes = frozenset(v.partition(":")[0] for k, v in mine.items() if k.startswith("note."))
        assert all(f"={note}: " in told for note in notes), told
        rows[found[1]] = Seen(mine["row_state"], mine.get("failure_class"), notes)
        tags = {child.tag for child in case}
        shown[found[1]] = (
            "failed" if "failure" in tags else "open" if "skipped" in tags else "passed"
        )
    _outcomes_fit(rows, shown)
    counts = {name: int(facts.get(f"wf.count.rows_{name}", 0)) for name in OF_THE_SUMMARY}
    return Said(rows, counts)


def allure(flown: FlowRun) -> Said:
    """Allure's results: status, suite and tags of each row, and the category it falls into."""
    folder = flown.root / "reports" / "allure-results"
    rows, shown = {}, {}
    for path in folder.glob("*-result.json"):
        result = json.loads(path.read_text())
        labels = [(label["name"], label["value"]) for label in result["labels"]]
        if ("parentSuite", "sweep") not in labels:
            continue
        run_id, suite = dict(labels)["run_id"], dict(labels)["suite"]
        state, _, kind = suite.partition(": ")
        attached = {a["name"]: (folder / a["source"]).read_text() for a in result["attachments"]}
        notes = frozenset(re.findall(r"(?m)^note \((\S+)\): ", attached.get("notes", "")))
        tags = {value for name, value in labels if name == "tag"}
        assert tags >= notes | ({kind} if kind else set())
        rows[run_id] = Seen(state, kind or None, notes)
        shown[run_id] = "open" if result["status"] == "skipped" else result["status"]
        if result["status"] == "failed":
            assert _category(result) == f"Rows failed: {kind or 'no class'}", result
    _outcomes_fit(rows, shown)
    [table] = _tables(folder)
    lines = {line["run_id"]: line for line in csv.DictReader(io.StringIO(table))}
    states = {run_id: line["state"] for run_id, line in lines.items()}
    _same({k: states[k] for k in rows}, {k: row.state for k, row in rows.items()})
    # rows without a case are in the table alone
    others = {k: Seen(state, None, frozenset()) for k, state in states.items() if k not in rows}
    return Said({**rows, **others}, {})


def _category(result: Mapping[str, Any]) -> str:
    message = result["statusDetails"]["message"]
    return next(
        str(category["name"])
        for category in categories()
        if result["status"] in category["matchedStatuses"]
        and re.fullmatch(category["messageRegex"], message)
    )


def _tables(folder: Path) -> Iterable[str]:
    for path in folder.glob("*-result.json"):
        result = json.loads(path.read_text())
        for attachment in result.get("attachments", ()):
            if result["name"] == "P70 MONITOR" and attachment["name"] == "rows":
                yield (folder / attachment["source"]).read_text()


def page(flown: FlowRun, drawn: Path | None = None) -> Said:
    """The page, by default the flow's own: its table of rows, and the figures at its head."""
    html = (drawn or flown.root / "reports" / "report.html").read_text()
    found = re.search(r'(?s)<script type="application/json" id="page-data">(.*?)</script>', html)
    assert found is not None
    rows = {
        row["run_id"]: Seen(
            row["state"],
            row.get("failure_class"),
            frozenset(filter(None, row.get("noted", "").split(", "))),
        )
        for row in json.loads(found[1])["rows"]
    }
    head = re.search(r"(?s)<dt>Rows</dt><dd>.*?</svg>(.*?)</dd>", html)
    assert head is not None
    words = re.findall(r"(\d+) (ok|failed|not selected)", head[1])
    known = {name.replace(" ", "_"): int(number) for number, name in words}
    counts = {**dict.fromkeys(OF_THE_SUMMARY, 0), **known}
    failed = set(re.findall(r'<span class="mono">(\S+)</span> <b class="bad">', html))
    _same(failed, {run_id for run_id, row in rows.items() if _is_ok(row) is False})
    return Said(rows, counts)


def checklist(flown: FlowRun) -> Said:
    """The checklist's events: rows that failed or have notes, and the figures."""
    text = (flown.root / "reports" / "checklist.md.last").read_text()
    told = re.findall(r"(?m)^.*? row (\S+); (.*)$", text)
    [counts] = re.findall(r"(?m)^.*? rows: (total=.*)$", text)
    return Said({run_id: _said(*words.split("; ")) for run_id, words in told}, _counted(counts))


def terminal(flown: FlowRun) -> Said:
    """The terminal: the outcome of each case under -v, failures, notes, and the figures."""
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", flown.output)
    shown = dict(re.findall(rf"(?m)::{CASE}\[(\S+)\] (PASSED|FAILED|LAUNCHED|SKIPPED)", output))
    told: dict[str, list[str]] = {}
    for run_id, state in re.findall(r"(?m)^row (\S+) (\w+(?:, .*)?)$", output):
        told[run_id] = [state]
    notes: dict[str, set[str]] = {}
    current = ""
    for line in output.splitlines():
        of_row = re.match(r"(?:wf: )?row (\S+): note \((\S+)\): ", line)
        failed = re.match(r"row (\S+) \w+, ", line)
        of_failed = re.match(r"\s*note \((\S+)\): ", line)
        if failed:
            current = failed[1]
        if of_row:
            notes.setdefault(of_row[1], set()).add(of_row[2])
        elif of_failed and current:
            notes.setdefault(current, set()).add(of_failed[1])
        elif line.startswith(("---", "___", "===")):
            current = ""
    rows: Rows = {}
    for run_id, outcome in shown.items():
        words = _said(*told[run_id]) if outcome == "FAILED" else Seen("success", None, frozenset())
        if outcome in ("PASSED", "FAILED"):
            rows[run_id] = words._replace(notes=frozenset(notes.get(run_id, ())))
    for_programs = re.findall(r"(?m)^rows: (total=.*)$", output)
    if for_programs:
        [counts] = for_programs
        return Said(rows, _counted(counts))
    [(total, words)] = re.findall(r"(?m)^(\d+) rows?: (.*)$", output)
    known = {name: int(number) for number, name in re.findall(r"(\d+) (ok|failed)", words)}
    return Said(rows, {"total": int(total), "ok": 0, "failed": 0, **known})


def status_table(project: Project) -> Said:
    """`wf sweep-status`."""
    lines = project.wf("sweep-status").stdout.splitlines()
    begin = next(n for n, line in enumerate(lines) if re.match(r"  row +state", line))
    end = next(n for n, line in enumerate(lines) if re.match(r"campaign=", line))
    place = lines[begin].index("state")
    rows: Rows = {}
    for line in lines[begin + 1 : end]:
        if re.match(r"\* the best row|No row is best", line):
            continue
        state, kind = re.match(r"(\S+) ?(\S*)", line[place:]).groups()  # type: ignore[union-attr]
        notes = frozenset(re.findall(r"note \((\S+)\): ", line))
        rows[line[2:].split()[0]] = Seen(state, kind or None, notes)
    return Said(rows, _counted(lines[-1]))


def status_json(project: Project) -> Said:
    """`wf sweep-status --json`."""
    told = json.loads(project.wf("sweep-status", "--json").stdout)
    rows = {row["run_id"]: seen(row) for row in told["rows"]}
    return Said(rows, {name: told[name] for name in COUNTS})


def all_of(project: Project, flown: FlowRun) -> dict[str, Said]:
    """Every view of the newest flow, by name."""
    drawn: tuple[Callable[[FlowRun], Said], ...] = (
        summary,
        evidence,
        junit,
        allure,
        page,
        checklist,
        terminal,
    )
    asked: tuple[Callable[[Project], Said], ...] = (status_table, status_json)
    return {
        **{view.__name__: view(flown) for view in drawn},
        **{view.__name__: view(project) for view in asked},
    }


def agree(said: dict[str, Said], expected: Rows) -> None:
    """Whether every view says of each row, and counts, what is `expected`."""
    figures = count(row.state for row in expected.values())
    for view, (rows, counts) in said.items():
        told = unfetched(expected) if view in BEFORE_THE_FETCH else expected
        if view == "checklist":
            told = {
                k: row for k, row in expected.items() if row.notes or _counts_as(row) == "failed"
            }
        elif view == "terminal":
            told = {
                k: row._replace(notes=row.notes - OF_MANY) if _counts_as(row) == "ok" else row
                for k, row in expected.items()
                if _counts_as(row) in ("ok", "failed")
            }
        elif view == "junit":
            told = {k: row for k, row in expected.items() if row.state != NOT_SELECTED}
        differing = {
            run_id: (rows.get(run_id), told.get(run_id))
            for run_id in {*rows, *told}
            if rows.get(run_id) != told.get(run_id)
        }
        assert not differing, f"{view}: (said, expected) of {differing}"
        assert counts == {name: figures[name] for name in counts}, view


def unfetched(rows: Rows) -> Rows:
    """`rows` without the notes that come with a fetch."""
    return {k: row._replace(notes=row.notes - OF_THE_FETCH) for k, row in rows.items()}


def _counts_as(row: Seen) -> str:
    return COUNTED_AS.get(row.state, "")


def _said(first: str, *others: str) -> Seen:
    """A row in the words of `flow.row_text`."""
    state, _, rest = first.partition(", ")
    kind = re.search(r"\bclass (\w+)", rest)
    notes = [re.match(r"note \((\S+)\): ", line) for line in others]
    codes = frozenset(found[1] for found in notes if found is not None)
    return Seen(state, kind[1] if kind else None, codes)


def _counted(line: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


def _is_ok(row: Seen) -> bool | None:
    return {"ok": True, "failed": False}.get(COUNTED_AS.get(row.state, ""))


def _outcomes_fit(rows: Rows, shown: Mapping[str, str]) -> None:
    """Whether each case came out as its row did; one whose row has no end was skipped."""
    expected = {
        run_id: _OUTCOMES.get(COUNTED_AS.get(row.state, ""), "open") for run_id, row in rows.items()
    }
    _same(shown, expected)


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{found}\nis not\n{expected}")
