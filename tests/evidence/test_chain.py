"""The chain of a flow's folder: any byte that is changed is found, and its file is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.court import deterministic
from pytest_wf.evidence import chain
from pytest_wf.wire.files import pretty_json, sha256_bytes
from tests.support import good_flow as good

Folder = dict[str, bytes]
CODES = ("P00", "P40", "P90", "P99")


@pytest.fixture(scope="session")
def folder() -> Folder:
    """A closed flow of four phases, as file names and bytes."""
    files: Folder = {chain.START: pretty_json(good.start().model_dump(mode="json"))}
    head: str | None = None
    for code in CODES:
        digests: dict[str, str] = {}
        records: dict[str, Any] = {"evidence": good.evidence(code)}
        for kind in chain.KINDS[:-1]:
            if kind != "evidence":
                make = good.report if kind == "deterministic" else good.answer
                records[kind] = make(code, evidence_sha256=digests["evidence"])
            raw = pretty_json(records[kind].model_dump(mode="json"))
            files[chain.phase_file(code, kind)] = raw
            digests[kind] = sha256_bytes(raw)
        context = deterministic.VerdictContext(
            **{f"{kind}_sha256": digests[kind] for kind in digests},
            previous_verdict_sha256=head,
            enforced=True,
            decided_at="2026-01-02T03:04:07Z",
        )
        verdict = deterministic.verdict(
            records["evidence"],
            good.contract(code),
            records["deterministic"],
            records["constitutional"],
            context,
        )
        assert verdict.phase_pass
        raw = pretty_json(verdict.model_dump(mode="json"))
        files[chain.phase_file(code, "verdict")] = raw
        head = sha256_bytes(raw)
    files["bootstrap.log"] = b"all well\n"
    return closed(files, good.summary(chain_head=head).model_dump(mode="json"))


def closed(files: Folder, summary: dict[str, Any]) -> Folder:
    summary["files"] = {name: sha256_bytes(raw) for name, raw in files.items()}
    summary["digest"] = chain.own_digest(summary)
    return {**files, chain.SUMMARY: pretty_json(summary)}


def reclosed(files: Folder, **changes: Any) -> Folder:
    """`files` with a summary that fits them, as one who may write it could make it."""
    others = {name: raw for name, raw in files.items() if name != chain.SUMMARY}
    return closed(others, {**json.loads(files[chain.SUMMARY]), **changes})


def examine(files: Folder) -> list[tuple[str, str]]:
    digests = {name: sha256_bytes(raw) for name, raw in files.items()}
    return [(f.file, f.problem) for f in chain.examine(digests, files)]


def edited(files: Folder, name: str, edit: Callable[[dict[str, Any]], object]) -> Folder:
    value = json.loads(files[name])
    edit(value)
    return {**files, name: pretty_json(value)}


def without(files: Folder, *names: str) -> Folder:
    return {name: raw for name, raw in files.items() if name not in names}


def test_a_whole_folder_has_nothing_wrong(folder: Folder) -> None:
    assert len(folder) == 4 * len(CODES) + 3
    assert examine(folder) == []


@pytest.mark.fault("S7")
@given(st.data())
def test_any_changed_byte_is_found_and_its_file_is_named(data: st.DataObject) -> None:
    files = _FOLDER
    name = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, len(files[name]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != files[name][at]))
    raw = files[name][:at] + bytes([byte]) + files[name][at + 1 :]
    assert examine({**files, name: raw}) == [(name, "changed")]


_FOLDER: Folder = {}


@pytest.fixture(autouse=True)
def _lend_the_folder_to_hypothesis(folder: Folder) -> None:
    _FOLDER.update(folder)


@given(st.data())
def test_without_a_summary_the_chain_itself_finds_it(data: st.DataObject) -> None:
    files = without(_FOLDER, chain.SUMMARY, "bootstrap.log")
    kind = data.draw(st.sampled_from(chain.KINDS[:-1]))
    name = chain.phase_file(data.draw(st.sampled_from(CODES)), kind)
    at = data.draw(st.integers(0, len(files[name]) - 1))
    raw = files[name][:at] + b"#" + files[name][at + 1 :]
    assert (name, "changed") in examine({**files, name: raw}) or raw == files[name]


@pytest.mark.parametrize("kind", chain.KINDS[:-1])
def test_a_changed_report_is_named_and_not_its_verdict(folder: Folder, kind: str) -> None:
    name = chain.phase_file("P40", kind)
    files = edited(folder, name, lambda record: record.update(verdict="fail", passed=False))
    assert examine(files) == [(name, "changed")]
    assert examine(without(files, chain.SUMMARY)) == [
        (chain.SUMMARY, "removed"),
        (name, "changed"),
    ]


def test_every_removed_file_is_named(folder: Folder) -> None:
    for name in folder:
        assert examine(without(folder, name)) == [(name, "removed")]


def test_an_added_file_is_named(folder: Folder) -> None:
    assert examine({**folder, "notes.txt": b""}) == [("notes.txt", "added")]


def test_an_added_phase_is_named(folder: Folder) -> None:
    copy = folder["phase.P40.evidence.json"]
    found = examine({**folder, "phase.P50.evidence.json": copy})
    assert ("phase.P50.evidence.json", "added") in found
    assert {name[:9] for name, _ in found} == {"phase.P50"}


@pytest.mark.parametrize("code", CODES[:-1])
def test_a_changed_verdict_is_found_by_the_next_one(folder: Folder, code: str) -> None:
    name = chain.phase_file(code, "verdict")
    files = without(folder, chain.SUMMARY)
    files = edited(files, name, lambda v: v.update(suggested_next_command="rm"))
    assert examine(files) == [(chain.SUMMARY, "removed"), (name, "changed")]


def test_a_verdict_that_the_next_one_disowns_accuses_no_other_file(folder: Folder) -> None:
    name = chain.phase_file("P40", "verdict")
    files = without(folder, chain.SUMMARY)
    spoilt = edited(files, name, lambda verdict: verdict.update(evidence_sha256="f" * 64))
    assert examine(spoilt) == [(chain.SUMMARY, "removed"), (name, "changed")]


def test_a_summary_rewritten_over_a_changed_file_is_found_by_the_chain(folder: Folder) -> None:
    name = "phase.P40.evidence.json"
    files = edited(folder, name, lambda v: v.update(git_sha="0" * 40))
    assert examine(reclosed(files)) == [(name, "changed")]


def test_a_removed_phase_is_found_though_the_summary_was_rewritten(folder: Folder) -> None:
    gone = [chain.phase_file("P40", kind) for kind in chain.KINDS]
    found = examine(reclosed(without(folder, *gone)))
    assert found == [("phase.P00.verdict.json", "changed")]


def test_a_file_removed_from_folder_and_summary_is_missed_by_its_verdict(folder: Folder) -> None:
    for kind in chain.KINDS[:-1]:
        name = chain.phase_file("P40", kind)
        assert (name, "removed") in examine(reclosed(without(folder, name)))
    start = examine(reclosed(without(folder, chain.START)))
    assert start == [(chain.START, "removed")]


def test_a_head_that_is_not_the_last_verdict_is_found(folder: Folder) -> None:
    assert examine(reclosed(folder, chain_head="0" * 64)) == [(chain.SUMMARY, "inconsistent")]


def test_a_summary_that_states_another_verdict_is_found(folder: Folder) -> None:
    phase = {"code": "P40", "name": "X", "status": "ok", "verdict_sha256": "0" * 64}
    assert examine(reclosed(folder, phases=[phase])) == [(chain.SUMMARY, "inconsistent")]


@pytest.mark.parametrize(
    "changes",
    [
        {"phase_pass": False},
        {"deterministic": "fail", "phase_pass": False},
        {"constitutional": "unverified", "phase_pass": False},
    ],
)
def test_a_verdict_that_contradicts_its_layers_is_found(
    folder: Folder, changes: dict[str, Any]
) -> None:
    name = "phase.P99.verdict.json"
    files = edited(folder, name, lambda v: v.update(changes))
    files = reclosed(files, chain_head=sha256_bytes(files[name]))
    assert examine(files) == [(name, "inconsistent")]


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b'{"files": []}', b"\xff"])
def test_a_summary_that_is_none_is_named(folder: Folder, raw: bytes) -> None:
    assert examine({**folder, chain.SUMMARY: raw}) == [(chain.SUMMARY, "changed")]


@pytest.mark.parametrize("raw", [b"", b"[]", b"\xff"])
def test_a_verdict_that_is_none_is_named(folder: Folder, raw: bytes) -> None:
    name = "phase.P40.verdict.json"
    assert (name, "changed") in examine(without({**folder, name: raw}, chain.SUMMARY))


def test_an_empty_folder_has_nothing_to_believe() -> None:
    assert examine({}) == [(chain.START, "removed"), (chain.SUMMARY, "removed")]


def test_a_flow_without_a_phase_can_be_closed() -> None:
    start = {chain.START: pretty_json(good.start().model_dump(mode="json"))}
    assert examine(closed(start, good.summary().model_dump(mode="json"))) == []


def test_findings_say_what_and_where(folder: Folder) -> None:
    files = {**folder, "bootstrap.log": b"all is well\n"}
    digests = {name: sha256_bytes(raw) for name, raw in files.items()}
    (finding,) = chain.examine(digests, files)
    assert str(finding).startswith("bootstrap.log: changed: its SHA-256 is ")
    assert str(chain.Finding("x", "added")) == "x: added"


def test_a_long_text_is_cut_and_what_steers_a_terminal_is_an_escape() -> None:
    assert chain.one_line("x" * 1000) == "x" * 1000
    assert chain.one_line("x" * 1001) == "x" * 1000 + "..."
    assert chain.one_line("a\x1b[2J\n") == r"a\x1b[2J\n"


def test_the_head_is_the_digest_of_the_last_verdict_and_of_no_other_file() -> None:
    digests = {chain.phase_file(code, "verdict"): code for code in ("P40", "P00")}
    assert chain.last_head({**digests, "phase.P90.evidence.json": "e", "z.log": "z"}) == "P40"
    assert chain.last_head({"z.log": "z"}) is None


def test_names_of_phase_files() -> None:
    assert chain.phase_file("P40", "verdict") == "phase.P40.verdict.json"
    assert chain.phase_of("phase.P40.verdict.json") == ("P40", "verdict")
    for name in ("phase.P40.notes.json", "phase.P4.verdict.json", "x/phase.P40.verdict.json"):
        assert chain.phase_of(name) is None
