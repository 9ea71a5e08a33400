"""Tables and texts in columns of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.console.columns import Column, Part, columns_of, cut, shortened, table, text_of


def column(
    title: str, *cells: str, right: bool = False, dispensable: int = 0, least: int = 0
) -> Column:
    return Column(title, [Part(cell) for cell in cells], right, dispensable, least)


def lines(columns: list[Column], width: int | None = None) -> list[str]:
    return [text_of(line) for line in table(columns, width).lines]


def test_a_table_has_a_line_of_titles_and_a_line_a_row() -> None:
    found = lines([column("row", "a", "bcd"), column("loss", "1.5", "22", right=True)])
    assert found == ["row  loss", "a     1.5", "bcd    22"]


def test_a_column_without_text_is_left_out() -> None:
    assert lines([column("row", "a"), column("note", "")]) == ["row", "a"]
    assert lines([column("note", "")]) == []


@pytest.mark.parametrize("odd", ["\n", "\t", "\r", "\x1b", "\u2028", "\u202e"])
def test_what_is_not_printable_is_a_blank_in_titles_and_cells(odd: str) -> None:
    found = lines([column(f"a{odd}b", f"1{odd}2"), column("c", "3")])
    assert found == ["a b  c", "1 2  3"]
    assert table([column(f"a{odd}b", "1" * 9, dispensable=1)], 5).left_out == ["a b"]


def test_columns_of_one_title_are_two_columns() -> None:
    found = lines([column("step", "10"), column("step", "a longer one")])
    assert found == ["step  step", "10    a longer one"]


def test_long_cells_are_cut_before_a_column_is_left_out() -> None:
    columns = [
        column("row", "a"),
        column("x", "1", dispensable=1),
        column("why", "w" * 30, least=8),
    ]
    assert lines(columns, 20) == ["row  x  why", "a    1  wwwwwwwwww.."]


def test_a_cell_may_keep_its_end() -> None:
    cells = [Part("a-long-run-name-s1"), Part("a-long-run-name-s2"), Part("short")]
    found = table([Column("row", cells, least=8, keeps_end=True)], 11)
    assert [text_of(line) for line in found.lines[1:]] == ["a-l..ame-s1", "a-l..ame-s2", "short"]
    found_cut = [shortened("abcdef", n, keeps_end=True) for n in range(5)]
    assert found_cut == ["", ".", "..", "a..", "a..f"]


def test_the_most_dispensable_column_is_left_out_first_and_named() -> None:
    columns = [
        column("row", "long-name"),
        column("b", "1" * 9, dispensable=2),
        column("c", "2" * 9, dispensable=1),
    ]
    found = table(columns, 22)
    assert found.left_out == ["b"]
    assert [text_of(line) for line in found.lines] == ["row        c", "long-name  222222222"]


def test_what_cannot_be_cut_is_wider_than_the_terminal() -> None:
    assert lines([column("row", "x" * 30)], 10) == ["row", "x" * 30]


@pytest.mark.parametrize(
    ("text", "columns", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "a.."),
        ("\u6e2c\u8a66", 3, ".."),
        ("e\u0301x", 2, "e\u0301x"),
        ("abc", 1, "."),
    ],
)
def test_a_text_is_shortened_by_what_it_takes_on_the_terminal(
    text: str, columns: int, kept: str
) -> None:
    assert shortened(text, columns) == kept


@given(st.text(max_size=30), st.integers(0, 20))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    assert columns_of(cut(text, columns)) <= columns
    assert columns_of(shortened(text.expandtabs(), columns)) <= max(columns, 0)


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=9), st.text(max_size=40)), min_size=1, max_size=6
    ),
    st.integers(30, 90),
)
def test_no_line_is_longer_than_the_terminal_where_all_columns_can_be_cut(
    cells: list[tuple[str, str]], width: int
) -> None:
    columns = [
        column(f"{n}{title}", text.expandtabs(), least=1, dispensable=n)
        for n, (title, text) in enumerate(cells)
    ]
    assert all(columns_of(line) <= width for line in lines(columns, width))
