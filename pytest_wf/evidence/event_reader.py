"""Reads events.jsonl: which of its lines form an unbroken chain, and what breaks it.

Each line has its number and the digest of the line before. A line that was
changed, removed, inserted or moved therefore breaks the chain. Lines missing at the end do not:
the verdicts and the summary, which record the number of lines, reveal those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_wf.wire.files import canonical_json, parse_json, sha256_bytes

EVENTS = "events.jsonl"


@dataclass(frozen=True)
class EventsRead:
    """The contents of a file of events, as far as the chain is valid."""

    #: The events of the unbroken chain from the first line on.
    events: Sequence[Mapping[str, Any]] = ()
    #: The digest of each of their lines.
    digests: Sequence[str] = ()
    #: What breaks the chain: 'changed' or 'reordered', and how. None if it is unbroken.
    broken: tuple[str, str] | None = None
    #: Whether the last line is incomplete, as after its writer was killed.
    torn: bool = False
    _answered: frozenset[int] = field(default=frozenset(), repr=False)

    @property
    def open_intents(self) -> list[Mapping[str, Any]]:
        """Intents without an outcome, the oldest first."""
        return [
            event
            for event in self.events
            if event.get("kind") == "intent" and event.get("seq") not in self._answered
        ]

    @property
    def has_ended(self) -> bool:
        """Whether the flow itself has an outcome."""
        return any(e.get("kind") == "outcome" and e.get("op") == "flow" for e in self.events)


def event_line(event: Mapping[str, Any]) -> bytes:
    """The line of `event`."""
    return canonical_json(event) + b"\n"


def read_events(raw: bytes) -> EventsRead:
    """Follow the chain through a file of events; everything after a break is ignored."""
    lines = _lines(raw)
    torn = bool(lines) and not lines[-1].endswith(b"\n")
    whole = lines[:-1] if torn else lines
    parsed = [_event(line) for line in whole]
    events: list[Mapping[str, Any]] = []
    digests: list[str] = []
    intents: dict[int, Any] = {}
    answered: set[int] = set()
    for number, (line, event) in enumerate(zip(whole, parsed, strict=True), 1):
        wrong = _wrong(number, event, digests[-1] if digests else None, intents, answered)
        if wrong:
            moved = _is_permutation(parsed)
            broken = (
                ("reordered", f"{wrong}; its lines were moved") if moved else ("changed", wrong)
            )
            return EventsRead(events, digests, broken, torn, frozenset(answered))
        assert event is not None
        events.append(event)
        digests.append(sha256_bytes(line))
        if event["kind"] == "intent":
            intents[number] = event.get("op")
        else:
            answered.add(event["of"])
    return EventsRead(events, digests, None, torn, frozenset(answered))


def _lines(raw: bytes) -> list[bytes]:
    """Lines, split at newlines only and including them."""
    pieces = [piece + b"\n" for piece in raw.split(b"\n")]
    last = pieces.pop()[:-1]
    return [*pieces, last] if last else pieces


def _wrong(
    number: int,
    event: Mapping[str, Any] | None,
    before: str | None,
    intents: Mapping[int, Any],
    answered: set[int],
) -> str:
    """Why the line `number` cannot be the original; '' if nothing is wrong with
    it."""
    if event is None:
        return f"line {number} is not an event"
    seq = event["seq"]
    if seq != number:
        return f"line {number} has event {seq}"
    if event["previous_sha256"] != before:
        return f"event {number} does not follow the line before it"
    of = event["of"]
    if event["kind"] == "intent":
        return "" if of is None else f"event {number} is an intent and answers one"
    if intents.get(of) != event["op"] or of not in intents:
        return f"event {number} answers no intent"
    return f"event {number} answers an intent that was answered" if of in answered else ""


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None if it is not one, or not in canonical form."""
    try:
        value = parse_json(line)
        if not isinstance(value, dict) or event_line(value) != line:
            return None
    except (ValueError, RecursionError):
        return None
    of, seq = value.get("of"), value.get("seq")
    has_all = {"seq", "kind", "op", "of", "previous_sha256"} <= set(value)
    is_int = type(seq) is int and (of is None or type(of) is int)
    return value if has_all and is_int and value["kind"] in ("intent", "outcome") else None


def _is_permutation(parsed: Sequence[Mapping[str, Any] | None]) -> bool:
    """Whether every line is an event, each number occurs once, and they are out of order."""
    places = [event["seq"] for event in parsed if event is not None]
    return places != sorted(places) and sorted(places) == list(range(1, len(parsed) + 1))
