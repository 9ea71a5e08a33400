"""Text from elsewhere cannot steer the terminal that shows it, however it comes in pieces."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.wire.safe_text import CONTROLS, ReadableText, quoted, readable, unquoted


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
