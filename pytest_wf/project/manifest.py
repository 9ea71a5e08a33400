"""Turns the bytes of a sweep CSV into its rows, or into all of its mistakes."""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_wf.config import formats
from pytest_wf.config.lookalikes import called, odd_character, spreadsheet_error
from pytest_wf.config.problems import Problems, nearest, visible
from pytest_wf.config.types import BadValue, Kind, maybe, whole
from pytest_wf.errors import InputError, Problem
from pytest_wf.wire import ids
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.rows import Row

#: Columns of a sweep CSV, in any order.
COLUMNS = ("run_id", "config", "seed", "overrides", "notes")
#: The column that a CSV may lack if no row's command uses it.
CONFIG_COLUMN = "config"
#: Optional columns; an empty cell means the config's value.
OPTIONAL_COLUMNS = ("timeout_secs", "gpus", "nodes", "retries", "expect")

#: Said of a column that looks like no other: people give each hyperparameter its own.
_IN_OVERRIDES = " Arguments of your trainer, such as --lr=0.1, belong in the column overrides."

#: Columns whose own syntax excludes what `_odd` finds.
_STRICT = frozenset({"run_id", "seed", "timeout_secs", "gpus", "nodes", "retries"})

#: The largest file that is read, and the longest cell: an argument of a program
#: may have 128 KiB.
MAX_BYTES = 32 * 1024 * 1024
MAX_CELL = 64 * 1024

_TIMEOUT = maybe(whole(0, remedy="Write whole seconds, 0 for no limit, or leave it empty."))
_GPUS = maybe(whole(1, remedy="Write the number of GPUs, or leave it empty."))
_NODES = maybe(whole(1, remedy="Write the number of machines, or leave it empty."))
_RETRIES = maybe(whole(0, 1000, remedy="Write the number of retries, or leave it empty."))


@dataclass(frozen=True)
class Manifest:
    """A valid sweep CSV: its rows, and the bytes that they were read from."""

    rows: tuple[Row, ...]
    sha256: str
    raw: bytes


def read(raw: bytes, origin: str) -> Manifest:
    """The manifest in `raw`; `origin` names the file in messages.

    RFC 4180 quoting, UTF-8 with or without BOM, any line ending. Raises InputError with
    every problem of the file.
    """
    problems = Problems(origin)
    text = _decoded(raw, problems)
    rows = _rows(text, problems) if text is not None else []
    problems.raise_if_any()
    return Manifest(tuple(rows), sha256_bytes(raw), raw)


def select(
    rows: Sequence[Row],
    match: str = "",
    start_at: str = "",
    limit: int = 0,
    *,
    origin: str = "sweep",
    lines: Mapping[str, int] | None = None,
) -> tuple[Row, ...]:
    """The rows that `SWEEP_START_AT`, `SWEEP_MATCH` (a glob) and `SWEEP_LIMIT` select.

    `origin` and `lines` say where those keys were set. Raises InputError if
    `start_at` is not a row's id, or if no row is selected.
    """
    at = lines or {}

    def refuse(key: str, value: str, reason: str, remedy: str) -> InputError:
        return InputError([Problem(origin, at.get(key), key, value, reason, remedy)])

    start = 0
    if start_at:
        run_ids = [row.run_id for row in rows]
        if start_at not in run_ids:
            raise refuse(
                "SWEEP_START_AT",
                start_at,
                "no row of the sweep has this run_id.",
                nearest(start_at, run_ids) + "Write a run_id of the CSV.",
            )
        start = run_ids.index(start_at)
    chosen = [r for r in rows[start:] if not match or fnmatch.fnmatchcase(r.run_id, match)]
    if not chosen:
        raise refuse(
            "SWEEP_MATCH" if match else "SWEEP_START_AT",
            match or start_at,
            "leaves no row of the sweep.",
            "Write a glob over run_id, such as 'mhc-*'; empty takes every row.",
        )
    return tuple(chosen[:limit] if limit else chosen)


def unchanged(local: Sequence[Row], campaign: Sequence[Row]) -> set[str]:
    """The ids of the local rows that are the same experiment in the campaign."""
    there = {row.run_id: row for row in campaign}
    return {
        row.run_id for row in local if row.run_id in there and not _changes(row, there[row.run_id])
    }


def differences(local: Sequence[Row], campaign: Sequence[Row]) -> dict[str, list[str]]:
    """Differences of the local rows from the campaign's: added, removed and edited rows.

    An edited row is named with its changes. Notes and order do not count.
    """
    here = {row.run_id: row for row in local}
    there = {row.run_id: row for row in campaign}
    both = {run_id: _changes(here[run_id], there[run_id]) for run_id in there if run_id in here}
    return {
        "added": [run_id for run_id in here if run_id not in there],
        "removed": [run_id for run_id in there if run_id not in here],
        "edited": [f"{run_id} ({', '.join(what)})" for run_id, what in both.items() if what],
    }


def _changes(here: Row, there: Row) -> list[str]:
    # arguments are compared after splitting: different quotes are the same experiment
    names = ("config", "seed", "argv", "timeout_s", "gpus", "nodes", "retries", "expect")
    return [
        f"{'overrides' if name == 'argv' else name} {_shown(getattr(here, name))} here, "
        f"{_shown(getattr(there, name))} there"
        for name in names
        if _shown(getattr(here, name)) != _shown(getattr(there, name))
    ]


def _shown(value: object) -> str:
    shown = shlex.join(value) if isinstance(value, tuple) else value
    return "nothing" if shown in (None, "") else repr(shown)


def _decoded(raw: bytes, problems: Problems) -> str | None:
    """The file as text, without BOM; None if it is not text."""
    if len(raw) > MAX_BYTES:
        reason = f"{len(raw)} bytes are not a sweep; at most {MAX_BYTES} are read."
        problems.add(None, "", None, reason, "Split the sweep.")
        return None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add(1, "", None, "the file is UTF-16.", "Save it as CSV in UTF-8.")
        return None
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        problems.add(line, "", None, "there is a NUL byte in the line.", "Save it as plain CSV.")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        start = e.start
    line = raw.count(b"\n", 0, start) + 1
    column = start - (raw.rfind(b"\n", 0, start) + 1) + 1
    reason = f"byte {column} of the line (0x{raw[start]:02x}) is not UTF-8."
    problems.add(line, "", None, reason, "Save it as CSV in UTF-8.")
    return None


def _records(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins; ends at the first that cannot be read."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            if "field limit" in str(e):
                problems.add(line, "", None, "a cell is too long.", f"At most {MAX_CELL} fit.")
            else:
                problems.add(
                    line,
                    "",
                    None,
                    "the quotes of the row that begins here are not balanced.",
                    'Close each quoted cell with "; write a quote inside it twice.',
                )
            return
        yield line, record


def _is_blank(record: list[str]) -> bool:
    """Whether a record is empty; spreadsheets write such rows as commas."""
    return not any(cell.strip() for cell in record)


def _rows(text: str, problems: Problems) -> list[Row]:
    records = _records(text, problems)
    line, header = next(records, (1, []))
    if _is_blank(header):
        if not len(problems):
            problems.add(line, "", None, "no header.", f"Begin with {','.join(COLUMNS)}.")
        return []
    columns = _columns(line, header, problems)
    if columns is None:
        return []
    rows: list[Row] = []
    count = 0
    seen: dict[str, int] = {}
    blank: int | None = None
    for line, record in records:
        if _is_blank(record):
            blank = blank or line
            continue
        if blank is not None:
            problems.add(blank, "", None, "an empty line between rows.", "Delete it.")
            blank = None
        count += 1
        if len(record) != len(columns):
            problems.add(
                line,
                "",
                None,
                f"{len(record)} cells, but the header has {len(columns)}.",
                "Give every column a cell; quote a cell that has a comma in it.",
            )
            continue
        cells = dict(zip(columns, record, strict=True))
        rows.append(_row(len(rows), line, cells, seen, problems))
    if not count and not len(problems):
        problems.add(None, "", None, "a header and no row.", "Write at least one row.")
    return rows


def _columns(line: int, header: list[str], problems: Problems) -> list[str] | None:
    """The header's names; None if the rows below it cannot be parsed."""
    before = len(problems)
    every = (*COLUMNS, *OPTIONAL_COLUMNS)
    separators = {";": "';'", "\t": "tabs", "|": "'|'"}
    for separator, told in separators.items():
        if len(header) == 1 and header[0].count(separator) >= 2:
            reason = f"the columns are separated by {told}."
            problems.add(line, "", None, reason, "Export it with commas.")
            return None
    if not any(name in every for name in header):
        reason = "the first line is not a header."
        problems.add(line, "", None, reason, f"Begin with {','.join(COLUMNS)}.")
        return None
    first: dict[str, str] = {}
    for number, name in enumerate(header, start=1):
        plain = name.strip().lower()
        odd = odd_character(name)
        if not plain:
            reason = f"cell {number} of the header is empty."
            remedy = "Give the column a name, or delete it in every line."
            problems.add(line, "", None, reason, remedy)
        elif odd is not None:
            reason, remedy = f"{called(odd)} in the name of a column.", "Type the name again."
            problems.add(line, visible(name)[:60], None, reason, remedy)
        elif plain in first:
            problems.add(line, plain, None, "the column occurs twice.", "Keep one of them.")
        elif name not in every:
            near = nearest(plain, every)
            remedy = near + f"Known: {', '.join(every)}." + ("" if near else _IN_OVERRIDES)
            problems.add(line, visible(name)[:60], None, "not a known column.", remedy)
        first[plain] = name
    for name in COLUMNS:
        if name not in first and name != CONFIG_COLUMN:
            optional = CONFIG_COLUMN not in first
            wanted = [c for c in COLUMNS if not (optional and c == CONFIG_COLUMN)]
            remedy = f"Begin with {','.join(wanted)}."
            problems.add(line, name, None, "the column is missing.", remedy)
    return header if len(problems) == before else None


def _row(
    index: int, line: int, cells: Mapping[str, str], seen: dict[str, int], problems: Problems
) -> Row:
    """The row in `cells`; to be used only if it has no problem."""
    run_id = cells["run_id"]
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", run_id).casefold())
    other = seen.setdefault(folded, line)
    if other != line:
        problems.add(
            line,
            "run_id",
            run_id,
            f"already used on line {other} (ids are compared without regard to case).",
            "Give each row an id of its own.",
        )
    legible = {n for n, text in cells.items() if _is_legible(line, n, text, problems)}
    if not ids.is_id(run_id):
        problems.add(line, "run_id", run_id, *_why_no_id(run_id))

    def parsed(name: str, kind: Kind[Any]) -> Any:
        if name in cells and name not in legible:
            return None
        try:
            return kind.parse(cells.get(name, ""))
        except BadValue as e:
            odd = _odd(cells[name]) if name in _STRICT else None
            reason = f"{e.reason.rstrip('.')}: {odd[0]}" if odd else e.reason
            problems.add(line, name, cells[name], reason, e.remedy)
            return None

    values = {
        "config": parsed("config", _CONFIG),
        "seed": parsed("seed", _SEED),
        "argv": parsed("overrides", _OVERRIDES),
        "timeout_s": parsed("timeout_secs", _TIMEOUT),
        "gpus": parsed("gpus", _GPUS),
        "nodes": parsed("nodes", _NODES),
        "retries": parsed("retries", _RETRIES),
        "expect": parsed("expect", formats.EXPECTATIONS),
    }
    return Row(
        index=index,
        line=line,
        run_id=run_id,
        overrides=cells["overrides"],
        notes=cells["notes"],
        **values,
    )


def _why_no_id(run_id: str) -> tuple[str, str]:
    if not run_id:
        return "a row needs an id.", "Give each row an id of its own."
    if ids.ID_PATTERN.fullmatch(run_id):
        return "a reserved name.", "Give the run another id."
    remedy = "Use letters, digits, '.', '_' and '-', the first a letter or digit; at most 128."
    odd = _odd(run_id)
    return f"not a run id: {odd[0]}" if odd else "not a run id.", remedy


def _is_legible(line: int, name: str, text: str, problems: Problems) -> bool:
    """Whether a cell contains nothing that is not allowed; notes may have several lines."""
    value: str | None = text
    if len(text) > MAX_CELL:
        reason, remedy = f"a cell of {len(text)} characters.", f"Write at most {MAX_CELL}."
    elif formats.has_password(text):
        value, reason = None, "a URL with a name or password in it."
        remedy = "Leave it out; secrets reach runs only through WF_SECRET_ENV."
    elif name == "notes":
        if not any(unicodedata.category(c) == "Cc" and c not in "\r\n\t" for c in text):
            return True
        reason, remedy = "a control character in the cell.", "Take it out."
    elif name in _STRICT or (odd := _odd(text)) is None:
        return True
    else:
        reason, remedy = odd
    problems.add(line, name, value, reason, remedy)
    return False


def _odd(text: str) -> tuple[str, str] | None:
    """Why a cell may contain something else than it seems to, and the remedy; None if not."""
    error = spreadsheet_error(text)
    if error is not None:
        remedy = "Correct its formula, or format the column as text; then export it again."
        return f"{error} is an error value of a spreadsheet.", remedy
    character = odd_character(text)
    if character is None:
        return None
    is_seen = character.isprintable() and not character.isspace()
    like = "easily taken for another" if is_seen else "an invisible or control character"
    return (
        f"character {text.index(character) + 1} is {called(character)}, {like}.",
        "Type it again, on one line, with plain blanks, quotes and hyphens.",
    )


def _seed(text: str) -> int:
    if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):
        return int(text)
    raise BadValue("not an integer", "Write it in plain digits, such as 1337.")


def _arguments(text: str) -> tuple[str, ...]:
    if not any(mark in text for mark in "'\"\\"):
        # split at blanks only: shlex is slow for 10,000 rows
        return tuple(word for word in text.split(" ") if word)
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise BadValue(
            "its shell quotes are not balanced", "Close each quote; write name='two words'."
        ) from None


def _config(text: str) -> str:
    if not text:
        return text  # the command decides whether it needs one
    if text != text.strip():
        raise BadValue("blanks at its ends", "Take them out.")
    if "\\" in text:
        raise BadValue("a backslash in a path of the pod", "Write '/' between folders.")
    return formats.relative_path("TRAIN_WORKDIR_REL").parse(text)


_CONFIG = Kind("path below TRAIN_WORKDIR_REL", _config)
_SEED = Kind("integer", _seed)
_OVERRIDES = Kind("arguments", _arguments)
