"""Requests and answers: one line each, whatever is in them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire import messages
from pytest_wf.wire.failures import KINDS, code_of, kind_of
from pytest_wf.wire.files import parse_json

ARGS = st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.none())


@given(st.text(min_size=1), ARGS)
def test_a_request_is_one_line(id: str, args: dict[str, Any]) -> None:
    line = messages.request(id, "state", args, token=3)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_json(line) == {"id": id, "op": "state", "args": args, "token": 3}


def test_a_refusal_carries_its_kind_remedy_and_facts() -> None:
    error = messages.Refusal("lease-held", "held\nby ada", "Wait.", {"token": 4})

    body = parse_json(messages.refusal("r-1", error))

    assert body == {
        "id": "r-1",
        "ok": False,
        "error": {
            "kind": "lease-held",
            "message": "held\nby ada",
            "remedy": "Wait.",
            "facts": {"token": 4},
        },
    }


def test_an_event_is_no_answer() -> None:
    assert "ok" not in parse_json(messages.event("r-1", {"beat": True}))


def test_codes_tell_the_family_and_no_two_kinds_share_one() -> None:
    assert code_of("torch", 3) == 315
    assert code_of("link-lost", 4) == 486
    assert code_of("never heard of", 3) == code_of("remote-failed", 3) == 380
    assert len(set(KINDS.values())) == len(KINDS)
    assert all(kind_of(code_of(kind, family)) == kind for kind in KINDS for family in range(1, 6))
    assert kind_of(0) == kind_of(379) == ""
