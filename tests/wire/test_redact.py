"""No secret passes the sink, in whatever form and however cut."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from itertools import pairwise

import pytest
from _pytest._io.saferepr import saferepr
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_wf.wire.redact import MASK, MIN_SECRET_CHARS, RedactedText, Redactor
from pytest_wf.wire.safe_text import CONTROLS, ReadableText
from tests.support.secret_forms import ESCAPES, FORMS, PARTED, told

SECRET = 'hf_t\u00f6k"en/+???>>>~~ spaces&=%'
#: ASCII and no part of the mask, so that finding one means that it leaked.
SECRETS = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=MIN_SECRET_CHARS
).filter(lambda s: s not in MASK * 3)
TEXTS = st.text(max_size=30)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_secret_is_masked(form: Callable[[str], str]) -> None:
    shown = Redactor([SECRET]).text(f"before: {form(SECRET)} :after")

    assert MASK in shown
    assert not told(SECRET, shown)
    assert shown.startswith("before")
    assert shown.endswith("after")


@pytest.mark.parametrize("outer", ESCAPES.values(), ids=ESCAPES)
def test_a_form_within_an_escape_is_masked(outer: Callable[[str], str]) -> None:
    for inner in FORMS.values():
        shown = Redactor([SECRET]).text(f"before: {outer(inner(SECRET))} :after")

        assert MASK in shown
        assert not told(SECRET, shown)


@pytest.mark.parametrize("secret", ["00000000", "@0000000", "abcdefgh"])
@pytest.mark.parametrize("form", [*ESCAPES, *PARTED])
@pytest.mark.parametrize(
    "open_sequence", ["\x1b", "\x1b ", "\x1b[", "\x1b[1;", "\x1b]", "\x9b", "\x9b ", "\x9d"]
)
def test_a_form_behind_a_control_sequence_that_was_left_open_is_masked(
    open_sequence: str, form: str, secret: str
) -> None:
    shown = Redactor([secret]).text(f"{open_sequence}{FORMS[form](secret)}\x07")

    assert MASK in shown
    assert not told(secret, shown)


@given(secret=SECRETS, form=st.sampled_from(list(FORMS.values())), before=TEXTS, after=TEXTS)
@settings(deadline=None, max_examples=300)
def test_no_form_of_any_secret_is_told(
    secret: str, form: Callable[[str], str], before: str, after: str
) -> None:
    shown = Redactor([secret]).text(f"{before} {form(secret)} {after}")

    assert form(secret) not in shown


@given(
    secret=SECRETS,
    form=st.sampled_from(list(FORMS.values())),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
@example(secret="0000000:::::::::::", form=FORMS["carriage returns"], cuts=[40])
@settings(deadline=None, max_examples=300)
def test_no_form_of_a_secret_is_told_by_a_text_in_pieces(
    secret: str, form: Callable[[str], str], cuts: list[int]
) -> None:
    text = f"before {form(secret)} after\n"
    marks = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    stream = Redactor([secret]).stream()

    shown = "".join([*(stream.feed(text[a:b]) for a, b in pairwise(marks)), stream.close()])

    assert form(secret) not in shown
    assert MASK in shown


@pytest.mark.parametrize("encode", [base64.a85encode, base64.b85encode])
@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_text_in_base85_shows_at_most_the_ends_of_a_secret(
    before: str, encode: Callable[[bytes], bytes]
) -> None:
    text = encode(f"{before}{SECRET}, and more".encode()).decode()

    shown = Redactor([SECRET]).text(text)

    head, tail = shown.split(MASK)
    assert len(head) <= 5
    assert len(tail) <= len(encode(b"xyz, and more")) + 5


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
    assert stream.feed("h") == "superh"


def test_a_secret_that_goes_on_in_the_next_line_is_masked_in_both() -> None:
    encoded = base64.encodebytes(b"a-secret-of-many-bytes" * 6).decode()
    stream = Redactor(["a-secret-of-many-bytes" * 6]).stream()

    shown = "".join(stream.feed(line + "\n") for line in encoded.splitlines()) + stream.close()

    assert shown == f"{MASK}\n"


def test_few_letters_at_a_lines_end_do_not_make_it_wait() -> None:
    stream = Redactor(["supersecret"]).stream()

    assert stream.feed("it is sup\n") == "it is sup\n"
    assert stream.feed("ersecret\n") == f"{MASK}\n"
    assert stream.feed("it is super\n") == "it is "
    assert stream.feed("fluous\n") == "super\nfluous\n"


def test_the_length_of_what_waits_has_a_limit() -> None:
    stream = Redactor(["supersecret"]).stream()

    passed = stream.feed("super" + " " * 100_000)

    assert len(passed) > 90_000


def test_secrets_without_letters_are_masked_as_they_are() -> None:
    secret = "!'$%&/()=?*'"

    for form in FORMS.values():
        assert not told(secret, Redactor([secret]).text(f"a {form(secret)} b"))
    assert Redactor([secret]).text("! $ % & /") == "! $ % & /"


def test_a_secret_that_an_escape_parts_is_masked_when_the_escape_is_gone() -> None:
    shown = io.StringIO()
    masked = RedactedText(shown, Redactor(["a-secret-word"]))
    out = ReadableText(masked)
    for piece in ("the a-sec\x1b", "[1mret", "-w\x1b[0mord of it\n", "a-sec"):
        out.write(piece)
    out.end()
    masked.end()

    assert shown.getvalue() == f"the {MASK} of it\na-sec"


def test_what_is_shown_is_masked_before_and_behind_what_makes_it_readable() -> None:
    for form in FORMS.values():
        shown = Redactor([SECRET]).shown(f"before {form(SECRET)} after")

        assert not told(SECRET, shown)
        assert CONTROLS.search(shown) is None
