"""Tables in a log: a line of names with lines of values below it, and frames of names and values.

    epoch    train_loss    valid_acc         -----------------------------
    -----  ------------  -----------         | rollout/        |         |
        1        0.6868       0.6050         |    ep_rew_mean  | 22.7    |
        2        0.5512       0.7125         | time/           |         |
                                             |    total_steps  | 2048    |
                                             -----------------------------

A table has a name of a measurement. A line of values has a number for each name, and nothing else.
A frame is one report.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from pytest_wf.agent.run.metrics.log.form import Count, LogLine, Span, as_count, read_value
from pytest_wf.agent.run.metrics.log.metric_names import is_measured, metric_name

_MOST_CELLS = 64
_BARS = "|\u2502\u2503\u2551"
_CELL = re.compile(r"[^|\u2502\u2503\u2551]+")
_BORDER = re.compile(r"[-=+|:~\u2500-\u257f][-=+|:~ \t\u2500-\u257f]{4,}")
# cells of a line without bars: names by two blanks at least, or tabs
_NAMES = re.compile(r"[^ \t]+(?: [^ \t]+)*")
_VALUES = re.compile(r"[^ \t]+")
_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_/.@%()-]*|#)(?: [A-Za-z0-9_/.@%()#-]+){0,3}")
_VALUE = re.compile(
    r"[-+]?(?:[0-9]|\.[0-9])[0-9.,:/eE+-]*(?<!,)(?:%|[kKMGB]i?B?|[mun]?s|[mh])?|[-+]|(?i:[-+]?(?:nan|inf)|none)"
)
# a progress bar after the last value
_TAIL = re.compile(r":?[ \t]+[0-9]{1,3}%\|.*|:[ \t]*")
_STEPS = frozenset(
    "step steps global_step iter iteration itr num_updates timesteps total_timesteps batch it "
    "#".split()
)
_EPOCHS = frozenset(("epoch", "ep", "e"))


class Border(NamedTuple):
    """A line between or around the rows of a table."""


class Header(NamedTuple):
    """A line of names."""

    names: Tuple[Span, ...]


class Values(NamedTuple):
    """A line of numbers."""

    values: Tuple[Span, ...]


class Entry(NamedTuple):
    """A row of a frame: a name and its value, or the name of a section without one."""

    name: Span
    value: Optional[Span]


Part = Union[Border, Header, Values, Entry]


def part_of(line: str) -> Optional[Part]:
    """The part of a table that this line, and all that differ only in digits, are; or None."""
    text = line.strip()
    if _BORDER.fullmatch(text):
        return Border()
    if text[:1] and text[0] in _BARS and text[-1] in _BARS:
        return _framed(line)
    if text[:1] in "0123456789.-" and text:
        spans = _spans(_VALUES, _TAIL.sub("", line))
        is_row = len(spans) > 2 and all(_VALUE.fullmatch(line[a:b]) for a, b in spans)
        return Values(spans) if is_row and len(spans) <= _MOST_CELLS else None
    spans = _spans(_NAMES, line) if "  " in text or "\t" in text else ()
    return _header(line, spans) if len(spans) > 2 else None


def _framed(line: str) -> Optional[Part]:
    """A row between bars."""
    start = len(line) - len(line.lstrip())
    cells = [found.span() for found in _CELL.finditer(line, start)]
    spans = tuple(_stripped(line, span) for span in cells)
    if (len(spans) > 1 and line.rstrip()[-1] not in _BARS) or not 1 < len(spans) <= _MOST_CELLS:
        return None
    if len(spans) == 2:
        (name, value), words = spans, line[slice(*spans[0])]
        if not _NAME.fullmatch(words):
            return None
        if value[0] == value[1]:
            return Entry(name, None) if words.endswith("/") else None
        return Entry(name, value) if _VALUE.fullmatch(line[slice(*value)]) else None
    if all(_VALUE.fullmatch(line[a:b]) for a, b in spans):
        return Values(spans)
    return _header(line, spans)


def _header(line: str, spans: Tuple[Span, ...]) -> Optional[Header]:
    names = [line[a:b] for a, b in spans]
    if len(spans) > _MOST_CELLS or not all(map(_NAME.fullmatch, names)):
        return None
    return Header(spans)


def _spans(pattern: "re.Pattern[str]", line: str) -> Tuple[Span, ...]:
    return tuple(found.span() for found in pattern.finditer(line))


def _stripped(line: str, span: Span) -> Span:
    text = line[slice(*span)]
    start = span[0] + len(text) - len(text.lstrip())
    return start, start + len(text.strip())


class LogTables:
    """Puts the lines of tables together."""

    def __init__(self) -> None:
        self._header: List[str] = []
        self._frame: Dict[str, str] = {}
        self._section = ""
        self._section_at = 0

    def take(self, part: Part, line: str) -> Optional[LogLine]:
        """The content of a line of a table; None if it is not a report."""
        if isinstance(part, Entry):
            self._take_entry(part, line)
        elif isinstance(part, Header):
            names = [line[a:b] for a, b in part.names]
            self._header = names if any(map(is_measured, names)) else self._header
        elif isinstance(part, Values) and len(part.values) == len(self._header):
            return _report(dict(zip(self._header, (line[a:b] for a, b in part.values))))
        return None

    def end(self) -> Optional[LogLine]:
        """The content of the frame that has ended; None if there is none."""
        if not self._frame:
            return None
        frame, self._frame, self._section = self._frame, {}, ""
        return _report(frame) if any(map(is_measured, frame)) else None

    def _take_entry(self, part: Entry, line: str) -> None:
        name = line[slice(*part.name)]
        if part.value is None:
            self._section, self._section_at = name, part.name[0]
            return
        if self._section and part.name[0] > self._section_at:
            name = self._section + name
        if len(self._frame) < _MOST_CELLS:
            self._frame[name] = line[slice(*part.value)]


def _report(cells: Dict[str, str]) -> Optional[LogLine]:
    """The report of a table's line, or of a frame."""
    step: Optional[Count] = None
    epoch: Optional[Count] = None
    values: Dict[str, float] = {}
    for name, text in cells.items():
        word = name.rpartition("/")[2].lower()
        at, _, of = text.partition("/")
        if word in _EPOCHS and epoch is None:
            epoch = as_count("epoch", at, of)
        elif word in _STEPS and step is None:
            step = as_count("step", at, of)
        else:
            metric = metric_name(name)
            value = read_value(metric, text.rstrip(":")) if metric else None
            if value is not None:
                values[metric] = value
    return LogLine(step, epoch, values) if values else None
