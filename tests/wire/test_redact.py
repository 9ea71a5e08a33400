"""No secret passes the sink, in whatever form and however cut."""

from __future__ import annotations

import base64
import json
import urllib.parse
from itertools import pairwise

import pytest
from _pytest._io.saferepr import saferepr
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.redact import MASK, MIN_SECRET_CHARS, Redactor

SECRET = 'hf_t\u00f6k"en/+???>>>~~ spaces&=%'
#: ASCII and no part of the mask, so that finding one means that it leaked.
SECRETS = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=MIN_SECRET_CHARS
).filter(lambda s: s not in MASK * 3)
TEXTS = st.text(max_size=30)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        ascii(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode() + b"!").decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode(),
    ],
)
def test_every_form_of_a_secret_is_masked(form: str) -> None:
    shown = Redactor([SECRET]).text(f"before {form} after")

    assert MASK in shown
    assert SECRET not in shown
    core = form[4:-4]
    assert core not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_each_line_of_a_long_secret_is_masked() -> None:
    key = "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----"

    shown = Redactor([key]).text("log: DDDDEEEEFFFF")

    assert shown == f"log: {MASK}"


@pytest.mark.parametrize("cut", ["...", "\u2026"])
def test_what_a_shortened_text_leaves_of_a_secret_is_masked(cut: str) -> None:
    redactor = Redactor(["tr0ub4dor-and-a-horse"])

    assert redactor.text(f"'tr0ub4d{cut}a-horse'") == f"'{MASK}{cut}{MASK}'"
    assert redactor.text(f"it{cut}-horse, tr0ub4dor-{cut}") == f"it{cut}{MASK}, {MASK}{cut}"
    assert redactor.text(f"a true{cut}horse") == f"a true{cut}horse"


def test_pytests_own_shortening_of_a_long_secret_shows_no_part_of_it() -> None:
    secret = "".join(f"{n:04x}" for n in range(0, 9999, 7))

    shown = Redactor([secret]).text(saferepr({"TOKEN": secret}))

    assert shown == f"{{'TOKEN': '{MASK}...{MASK}'}}"


def test_short_values_do_not_shred_the_text() -> None:
    redactor = Redactor(["yes", ""])

    assert not redactor
    assert redactor.text("yes, eyes") == "yes, eyes"


def test_a_json_value_is_masked_in_its_keys_too() -> None:
    shown = Redactor(["supersecret"]).value({"supersecret": [1, None, ("supersecret",)]})

    assert shown == {MASK: [1, None, [MASK]]}


@given(secret=SECRETS, before=TEXTS, after=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=6))
def test_a_secret_is_found_however_the_text_is_cut(
    secret: str, before: str, after: str, cuts: list[int]
) -> None:
    text = before + secret + after
    marks = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    stream = Redactor([secret]).stream()

    shown = [stream.feed(text[a:b]) for a, b in pairwise(marks)] + [stream.close()]

    assert secret not in "".join(shown)


@given(text=st.text(), cuts=st.lists(st.integers(0, 100), max_size=4))
def test_a_text_without_secrets_comes_through_unchanged(text: str, cuts: list[int]) -> None:
    marks = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    stream = Redactor(["a-secret-that-is-not-there"]).stream()

    shown = [stream.feed(text[a:b]) for a, b in pairwise(marks)] + [stream.close()]

    assert "".join(shown) == text


def test_nothing_is_held_back_that_cannot_begin_a_secret() -> None:
    stream = Redactor(["supersecret"]).stream()

    assert stream.feed("epoch 1 loss 0.5\n") == "epoch 1 loss 0.5\n"
    assert stream.feed("it is super") == "it is "
    assert stream.feed("b") == "superb"
