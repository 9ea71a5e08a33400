"""Reader of the lines that a trainer prints."""

import re
from typing import Dict, Optional, Sequence, Union

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.log.form import Count, LineForm, LogLine
from pytest_wf.agent.run.metrics.log.grammar import HINT, form_of
from pytest_wf.agent.run.metrics.log.pattern import LogPattern
from pytest_wf.agent.run.metrics.log.steps import LogSteps
from pytest_wf.agent.run.metrics.log.tables import Entry, LogTables, Part, part_of
from pytest_wf.agent.run.metrics.log.text import lines_of, spelled
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.wire.metrics.sources import LOG

#: The longest shape that is remembered, and the most bytes of all of them together.
_MAX_SHAPE_BYTES = 512
_MAX_BYTES = 1 << 18

_HINT = re.compile(HINT.encode())
_VALUE_WORD = re.compile("nan|inf|none|null|n/a|\u221e".encode())
#: The first byte of a line of a table: a bar, or a character of borders.
_TABLE_BEGINS = tuple(bytes([char]) for char in b"|+-=:~\xe2")

Form = Union[LineForm, Part]


class _Forms(Dict[bytes, Optional[Form]]):
    """The forms of lines by their shapes, in bounded memory."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def remember(self, shape: bytes, form: Optional[Form]) -> None:
        """Keep a form. If there are too many, all others are forgotten."""
        if len(shape) > _MAX_SHAPE_BYTES:
            return
        if self._bytes + len(shape) > _MAX_BYTES:
            self.clear()
            self._bytes = 0
        self[shape] = form
        self._bytes += len(shape)


class LogLines(MetricReader):
    """Finds metrics in the log of a run, by the grammar and by the user's pattern, if there is one.

    Metrics that the pattern names come from the pattern alone. A trainer prints few kinds of lines
    many times, so the form of a line is kept by its shape.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.values = run.values(LOG)
        self._steps = LogSteps()
        self._pattern = LogPattern(run.log_pattern) if run.log_pattern else None
        self._tables = LogTables()
        self._forms = _Forms()
        #: For lines that are not reports.
        self._others = _Forms()

    def found(self) -> Sequence[Found]:
        """The log's values."""
        return [(LOG, self.values)]

    def take_log(self, text: str) -> None:
        """Read each line that may be a report."""
        lines, shapes = lines_of(text)
        others = self._others
        for place, shape in enumerate(shapes):
            form = None
            if shape not in others and (b"0" in shape or _may_matter(shape)):
                form = self._forms.get(shape)
                if form is None:
                    form = self._learn(lines[place], shape)
            if form is not None or self._pattern is not None:
                self._read(form, lines[place])

    def finish(self) -> None:
        """Read an incomplete frame."""
        self._end_frame()

    def _learn(self, line: str, shape: bytes) -> Optional[Form]:
        """The form of a line, which is remembered; None if it is not a report."""
        form = _form_of(spelled(line), shape) if len(line) <= MAX_LINE_CHARS else None
        (self._others if form is None else self._forms).remember(shape, form)
        return form

    def _read(self, form: Optional[Form], line: str) -> None:
        if form is not None and not isinstance(form, Entry):
            self._end_frame()
        found = None
        if isinstance(form, LineForm):
            found = form.read(spelled(line))
        elif form is not None:
            found = self._tables.take(form, spelled(line))
        self._take(line, found)

    def _end_frame(self) -> None:
        self._take("", self._tables.end())

    def _take(self, line: str, found: Optional[LogLine]) -> None:
        """Take what the grammar found, and what the pattern finds in `line`."""
        if self._pattern is not None:
            found = self._pattern.merged(line, found)
        if found is None:
            return
        if found.step is None and found.epoch is not None:
            at = self._run.step_at(found.epoch.at)
            found = found._replace(step=None if at is None else Count(at), is_of_epoch=False)
        if not found.values:
            self._steps.note(found)
            return
        step = self._steps.take(found)
        if found.epoch is not None:
            found.values.setdefault("epoch", found.epoch.at)
        self.values.take(step, found.values)
        self.values.total_steps = self._steps.total or self.values.total_steps


def _may_matter(shape: bytes) -> bool:
    """Whether a line without a digit may be a report, or names or the border of a table."""
    text = shape.strip().lower()
    if b"  " in text or b"\t" in text or text[:1] in _TABLE_BEGINS:
        return True
    return _VALUE_WORD.search(text) is not None


def _form_of(line: str, shape: bytes) -> Optional[Form]:
    """The form of a line; None if no line of this form is a report or of a table."""
    part = part_of(line)
    if part is not None or _HINT.search(shape.lower()) is None:
        return part
    return form_of(line)
