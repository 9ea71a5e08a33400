"""Reader of tables: ``metrics.csv`` of Lightning, ``results.csv`` of Ultralytics and others.

The first line has the names. A cell may be empty. Columns may be added: then the table is written
anew.
"""

import csv
from typing import Dict, Iterable, List, Optional, Sequence

from pytest_wf.agent.run.metrics.growing_file import GrowingFile
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.out_files import OutFile
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.step_names import is_step, step_name
from pytest_wf.agent.run.metrics.values import MetricValues, whole

NAMES = ("metrics.csv", "results.csv", "progress.csv", "summary.csv")
#: Separators of cells: the first one counts with which a name is that of a step.
_DELIMITERS = (",", ";", "\t")
_MAX_TABLES = 8
_MAX_HEADER_BYTES = 64 * 1024


class CsvTables(MetricReader):
    """Reads tables as they grow; of several, the one written last counts."""

    is_late = True

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tables: Dict[str, _Table] = {}
        #: The order of the last look, the one written last first.
        self._order: List[str] = []

    def found(self) -> Sequence[Found]:
        """The values of each table."""
        return [(source, self._tables[source].values) for source in self._order]

    def update(self) -> None:
        """Read a piece of what was appended to each table."""
        for table in self._known():
            table.update()

    def finish(self) -> None:
        """Read all that is left."""
        for table in self._known():
            table.finish()

    def _known(self) -> "List[_Table]":
        for file in self._run.files.named(*NAMES):
            if file.source not in self._tables and len(self._tables) < _MAX_TABLES:
                self._tables[file.source] = _Table(self._run, file)
        self._order = [f.source for f in self._run.files.named(*NAMES) if f.source in self._tables]
        return [self._tables[source] for source in self._order]


class _Table:
    """One table."""

    def __init__(self, run: Run, file: OutFile) -> None:
        self._run = run
        self._source = file.source
        self._file = GrowingFile(file.path, run.files.left.get(file.source))
        self._header = b""
        self._names: List[str] = []
        self._step: Optional[str] = None
        self._delimiter = ","
        self.values: MetricValues = run.values(file.source)

    def update(self) -> None:
        if self._knows_names():
            self._take(self._file.lines())

    def finish(self) -> None:
        if self._knows_names():
            self._take(self._file.rest())

    def _knows_names(self) -> bool:
        """Read the first line, and start again if it has changed."""
        header = self._file.first_line(_MAX_HEADER_BYTES)
        if header != self._header:
            if self._header:
                self._file.begin_anew()
                self.values = self._run.values(self._source)
            self._header = header
            for self._delimiter in _DELIMITERS:
                self._names = [name.strip() for name in _cells(header, self._delimiter)]
                self._step = step_name(self._names)
                if self._step is not None:
                    break
        return self._step is not None

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            cells = [cell.strip() for cell in _cells(line, self._delimiter)]
            if line == self._header or len(cells) != len(self._names):
                continue
            report = {name: cell for name, cell in zip(self._names, cells) if name and cell}
            step = whole(number(report.get(self._step or "", "")))
            report = {name: cell for name, cell in report.items() if not is_step(name)}
            if report:
                self.values.take(step, report)


def _cells(line: bytes, delimiter: str) -> List[str]:
    text = line.decode("utf-8-sig", "replace").rstrip("\r")
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return []
