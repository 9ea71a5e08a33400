"""Width of texts in terminal columns, and tables of them; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

#: Styles of a part of a line; a terminal without colours ignores them.
GOOD, BAD, BOLD, DIM = "good", "bad", "bold", "dim"
_GAP = "  "
#: Marks where a text was cut off.
_CUT = ".."


class Part(NamedTuple):
    """A part of a line, in one style."""

    text: str
    style: str = ""


Line = Sequence[Part]


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, and one cell per row."""

    title: str
    cells: Sequence[Part]
    #: Numbers are right-aligned.
    right: bool = False
    #: Columns with a number above 0 are left out if there is no room, the highest number first.
    dispensable: int = 0
    #: The smallest width that long cells are cut to; 0 if they are never cut.
    least: int = 0
    #: Long cells are cut within: their ends differ more often than their beginnings.
    keeps_end: bool = False


class Table(NamedTuple):
    """A table as lines, and the titles of columns that did not fit."""

    lines: list[list[Part]]
    left_out: list[str]


def table(columns: Sequence[Column], width: int | None) -> Table:
    """A table of `columns`, titles first, in lines of at most `width` terminal columns.

    Columns without any text are left out. `width` is None for lines of any length.
    A character that is not printable, such as a line's end, is shown as a blank.
    """
    columns = [_printable(column) for column in columns]
    shown = [column for column in columns if any(cell.text for cell in column.cells)]
    widths = [_natural(column) for column in shown]
    left_out = []
    while width is not None and _total(widths) > width:
        places = range(len(shown))
        cuttable = [n for n in places if shown[n].least and widths[n] > shown[n].least]
        slack = sum(widths[n] - shown[n].least for n in cuttable)
        first = max(places, key=lambda n: shown[n].dispensable)
        if shown[first].dispensable and _total(widths) - slack > width:
            left_out.append(shown.pop(first))
            widths.pop(first)
        elif cuttable:
            widths[max(cuttable, key=widths.__getitem__)] -= 1
        else:
            break
    rows = len(columns[0].cells) if columns else 0
    titles = [Part(column.title, DIM) for column in shown]
    cells = [[column.cells[row] for column in shown] for row in range(rows)]
    return Table(
        [_line(shown, widths, row) for row in ([titles, *cells] if shown else [])],
        [column.title for column in columns if any(column is one for one in left_out)],
    )


def text_of(line: Line) -> str:
    """A line without its styles."""
    return "".join(part.text for part in line)


def columns_of(text: str) -> int:
    """The number of terminal columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def cut(text: str, columns: int) -> str:
    """The beginning of the line `text` that fits into `columns` terminal columns."""
    kept, used = [], 0
    for character in text.expandtabs():
        used += _columns(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept)


def shortened(text: str, columns: int, *, keeps_end: bool = False) -> str:
    """`text` in at most `columns` terminal columns; a cut is marked.

    It is cut at its end, or with `keeps_end` after a third.
    """
    if columns_of(text) <= columns:
        return text
    if keeps_end:
        end = cut(text[::-1], max(0, columns - len(_CUT)) * 2 // 3)[::-1]
        return shortened(text, columns - columns_of(end)) + end
    return cut(text, max(0, columns - len(_CUT))) + _CUT[: max(0, columns)]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(column: Column) -> Column:
    texts = [column.title, *(cell.text for cell in column.cells)]
    if all(map(str.isprintable, texts)):
        return column
    title, *cells = ("".join(c if c.isprintable() else " " for c in text) for text in texts)
    parts = [cell._replace(text=text) for cell, text in zip(column.cells, cells, strict=True)]
    return replace(column, title=title, cells=parts)


def _natural(column: Column) -> int:
    return max(columns_of(text) for text in (column.title, *(c.text for c in column.cells)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Part]) -> list[Part]:
    parts: list[Part] = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        text = shortened(cell.text, width, keeps_end=column.keeps_end)
        blanks = " " * (width - columns_of(text))
        padded = blanks + text if column.right else text + blanks
        parts += [Part(_GAP)] * bool(parts) + [Part(padded, cell.style)]
    while len(parts) > 1 and not parts[-1].text.strip(" "):
        parts.pop()
    return [*parts[:-1], parts[-1]._replace(text=parts[-1].text.rstrip(" "))]
