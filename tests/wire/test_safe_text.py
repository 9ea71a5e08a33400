"""Text from elsewhere cannot steer the terminal that shows it, however it comes in pieces."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.safe_text import CONTROLS, ReadableText, excerpt, quoted, readable, unquoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, tabs\tand lines\n", "plain text, tabs\tand lines\n"),
        ("schön 語 😀", "schön 語 😀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;another title\x07here", "here"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("bell\x07", "bell�"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("c1\x9b2J\x90", "c1�2J�"),
        ("a\u202eb\u2066c\u200fd\u061ce", "a�b�c�d�e"),
        ("\x1b[31", "�[31"),
    ],
)
def test_what_steers_is_taken_out_or_made_visible(text: str, shown: str) -> None:
    assert readable(text) == shown


@given(st.lists(st.sampled_from(["\x1b", "[", "]", "3", "m", "\r", "\n", "\x07", "\\", "語"])))
def test_a_text_in_pieces_is_shown_whole_and_steers_nothing(pieces: list[str]) -> None:
    out = io.StringIO()
    text = ReadableText(out)
    for piece in pieces:
        text.write(piece)
    text.end()

    assert CONTROLS.search(out.getvalue()) is None
    assert out.getvalue().count("語") == "".join(pieces).count("語") or "\x1b]" in "".join(pieces)


def test_an_escape_in_two_pieces_is_one() -> None:
    out = io.StringIO()
    text = ReadableText(out)
    for piece in ("red: \x1b", "[3", "1mred\r", "\nend\x1b[", "0m"):
        text.write(piece)
    text.end()

    assert out.getvalue() == "red: red\nend"


@given(raw=st.binary(max_size=50))
def test_a_quoted_name_passes_as_it_is_and_gives_its_bytes_back(raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    text = quoted(name)
    assert readable(text) == text
    assert text.isprintable()
    assert unquoted(text) == name


def test_a_plain_name_is_quoted_as_itself() -> None:
    assert quoted("out/b:0 schön.npy") == "out/b:0 schön.npy"
    assert quoted("100%\n") == "100%25%0A"


@pytest.mark.parametrize("text", ["100%", "%4", "% 4", "%zz"])
def test_a_text_that_no_name_is_quoted_as_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="two digits"):
        unquoted(text)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n", "one / two"),
        ("PATH=...: Command not found.\nif: Expression Syntax.\n", None),
        ("made 3 files\nfatal: no such branch\n", "fatal: no such branch"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1\n'
            "AttributeError: module 'ssl' has no attribute 'lib'\n",
            "AttributeError: module 'ssl' has no attribute 'lib'",
        ),
    ],
)
def test_an_excerpt_is_made_of_whole_lines_from_the_first_error_on(
    said: str, shown: str | None
) -> None:
    assert excerpt(said) == (" / ".join(said.splitlines()) if shown is None else shown)


def test_an_excerpt_keeps_the_first_error_and_as_many_of_the_last_lines_as_fit() -> None:
    noise = "".join(f"step {n} of the build went well\n" for n in range(100))
    said = f"collecting\nERROR: no matching distribution for foo==1\n{noise}last line\n"
    shown = excerpt(said, 150)
    assert shown.startswith("ERROR: no matching distribution for foo==1 / […] / step 9")
    assert shown.endswith("step 99 of the build went well / last line")
    assert len(shown) <= 160


def test_a_single_long_line_of_an_excerpt_is_cut_behind_its_beginning() -> None:
    assert excerpt("error: " + "x" * 900, 100) == "error: " + "x" * 93 + "…"


@given(st.text(max_size=400), st.integers(20, 100))
def test_an_excerpt_is_one_line_and_bounded(said: str, most: int) -> None:
    shown = excerpt(said, most)
    assert len(shown) <= 2 * most
    assert len(shown.splitlines()) <= 1
