"""The chain through events.jsonl breaks where a line was touched, and says how."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.evidence import chain
from pytest_wf.evidence.event_reader import EVENTS, event_line, read_events
from pytest_wf.evidence.records import Event
from pytest_wf.wire.files import pretty_json, sha256_bytes

STEPS = [
    ("intent", "flow", None),
    ("intent", "phase", None),
    ("intent", "bootstrap", None),
    ("outcome", "bootstrap", 3),
    ("outcome", "phase", 2),
    ("intent", "phase", None),
    ("outcome", "phase", 6),
    ("outcome", "flow", 1),
]


def lines_of(steps: list[tuple[str, str, int | None]]) -> list[bytes]:
    """Lines that chain `steps`."""
    lines: list[bytes] = []
    for seq, (kind, op, of) in enumerate(steps, 1):
        event = Event(
            seq=seq,
            time="2026-01-02T03:04:05.678Z",
            kind=kind,  # type: ignore[arg-type]
            op=op,
            phase="P40",
            of=of,
            status=None if of is None else "ok",
            facts={"name": f"x{seq}"},
            previous_sha256=sha256_bytes(lines[-1]) if lines else None,
        )
        lines.append(event_line(event.model_dump(mode="json")))
    return lines


LINES = lines_of(STEPS)
RAW = b"".join(LINES)


def test_a_whole_log_is_read_to_its_end() -> None:
    read = read_events(RAW)
    assert (read.broken, read.torn, len(read.events)) == (None, False, len(STEPS))
    assert list(read.digests) == [sha256_bytes(line) for line in LINES]
    assert read.open_intents == []
    assert read.has_ended


@given(st.data())
def test_a_changed_byte_breaks_the_chain_unless_it_only_changes_the_last_line(
    data: st.DataObject,
) -> None:
    at = data.draw(st.integers(0, len(RAW) - len(LINES[-1]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != RAW[at]))
    broken = read_events(RAW[:at] + bytes([byte]) + RAW[at + 1 :]).broken
    assert broken is not None and broken[0] == "changed"


@given(st.permutations(range(len(STEPS))).filter(lambda order: order != sorted(order)))
def test_moved_lines_are_called_reordered(order: list[int]) -> None:
    broken = read_events(b"".join(LINES[i] for i in order)).broken
    assert broken is not None and broken[0] == "reordered"


@pytest.mark.fault("S7")
@given(st.integers(0, len(STEPS) - 2))
def test_a_line_that_is_gone_breaks_the_chain(at: int) -> None:
    assert read_events(b"".join(LINES[:at] + LINES[at + 1 :])).broken


@given(st.integers(0, len(STEPS)), st.integers(0, len(STEPS) - 1))
def test_a_line_that_was_put_in_breaks_the_chain(at: int, copied: int) -> None:
    assert read_events(b"".join([*LINES[:at], LINES[copied], *LINES[at:]])).broken


def test_a_log_that_was_chained_anew_around_nonsense_is_still_broken() -> None:
    nonsense: list[list[tuple[str, str, int | None]]] = [
        [("outcome", "flow", 1)],
        [("intent", "flow", None), ("outcome", "phase", 1)],
        [("intent", "flow", None), ("outcome", "flow", 1), ("outcome", "flow", 1)],
        [("intent", "flow", 1)],
    ]
    assert all(read_events(b"".join(lines_of(steps))).broken for steps in nonsense)


def test_the_least_that_an_event_has_is_read() -> None:
    event = {"seq": 1, "kind": "intent", "op": "flow", "of": None, "previous_sha256": None}
    assert read_events(event_line(event)).events == [event]
    assert all(
        read_events(event_line({k: v for k, v in event.items() if k != name})).broken
        for name in event
    )


@pytest.mark.parametrize("raw", [b"\n", b"{}\n", b"[]\n", b"\xff\n", RAW.replace(b":", b": ")])
def test_rubbish_is_no_event(raw: bytes) -> None:
    assert read_events(raw).broken


@pytest.mark.fault("S7")
def test_a_last_line_without_an_end_is_torn_and_the_rest_is_believed() -> None:
    read = read_events(RAW[:-40])
    assert (read.torn, read.broken, len(read.events)) == (True, None, len(STEPS) - 1)
    assert [e["op"] for e in read.open_intents] == ["flow"]


# ---- with the other files of a folder --------------------------------------------------------


def told(files: dict[str, bytes]) -> list[str]:
    digests = {name: sha256_bytes(raw) for name, raw in files.items()}
    return [str(finding) for finding in chain.examine(digests, files)]


def unended(count: int, torn: bytes = b"", verdict: dict[str, Any] | None = None) -> list[str]:
    """Findings over a flow that went so far; with `verdict`, a verdict of P40 that says so."""
    files = {chain.START: b"{}", EVENTS: b"".join(LINES[:count]) + torn}
    if verdict:
        layers = {"phase_pass": True, "deterministic": "pass", "constitutional": "pass"}
        record = {**layers, "evidence_sha256": "", **verdict}
        files[chain.phase_file("P40", "verdict")] = pretty_json(record)
    return told(files)


def test_what_was_under_way_when_a_flow_was_killed_is_told() -> None:
    (line,) = unended(3)
    assert line.startswith(f"{chain.SUMMARY}: removed: the flow has not ended")
    assert line.endswith("event 3 has no outcome: bootstrap in P40 was under way")
    assert unended(4)[0].endswith("event 2 has no outcome: P40 was under way")
    assert unended(1)[0].endswith("the flow has not ended, or the file was taken away")
    assert "the flow ended, and the file was taken away" in unended(8)[0]


def test_half_a_line_at_the_end_is_told_from_a_changed_one() -> None:
    assert unended(3, torn=b'{"fac')[0].startswith(f"{EVENTS}: torn: ")
    assert unended(3, torn=b'{"fac\n')[0].startswith(f"{EVENTS}: changed: line 4 is not an event")


def test_a_log_that_ends_before_what_a_verdict_states_is_found() -> None:
    bound: dict[str, Any] = {"events_count": 4, "events_sha256": sha256_bytes(LINES[3])}
    assert len(unended(4, verdict=bound)) == 1
    (line, *_) = unended(3, verdict=bound)
    assert line.startswith(f"{EVENTS}: changed: it has 3 whole lines, and had 4")
    first: dict[str, Any] = {"events_count": 1, "events_sha256": "0" * 64}
    assert unended(1, verdict=first)[0].startswith(f"{EVENTS}: changed: event 1 is not the one")
    other: dict[str, Any] = {"events_count": 4, "events_sha256": "0" * 64}
    assert unended(4, verdict=other)[0].startswith(f"{EVENTS}: changed: event 4 is not the one")


def test_a_log_that_is_gone_is_missed_by_the_verdicts() -> None:
    verdict: dict[str, Any] = {"events_count": 4, "events_sha256": "0" * 64}
    assert unended(0, verdict=verdict)[0].startswith(f"{EVENTS}: changed")
    record = pretty_json({**verdict, "evidence_sha256": ""})
    files = {chain.START: b"{}", chain.phase_file("P40", "verdict"): record}
    assert f"{EVENTS}: removed: phase.P40.verdict.json records 4 lines of it" in told(files)


def test_a_verdict_that_the_log_states_otherwise_is_found_without_a_summary() -> None:
    line = {**json.loads(LINES[4]), "facts": {"verdict_sha256": "1" * 64}}
    files = {chain.START: b"{}", EVENTS: b"".join(LINES[:4]) + event_line(line)}
    assert "phase.P40.verdict.json: removed: event 5 records it" in told(files)
    assert any(
        found.startswith("phase.P40.verdict.json: changed")
        for found in told({**files, "phase.P40.verdict.json": pretty_json({})})
    )
