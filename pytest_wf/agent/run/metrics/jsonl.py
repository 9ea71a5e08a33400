"""Reader of ``metrics.jsonl``: one JSON object per line."""

import json
import os
import re
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple

from pytest_wf.agent.run.metrics.growing_file import GrowingFile
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.step_names import is_step, rank, step_name
from pytest_wf.agent.run.metrics.values import whole
from pytest_wf.wire.metrics.sources import METRICS_JSONL

# a value in the spelling of C, Python, JavaScript or a shell, in place of a JSON value
_BARE = re.compile(
    r"(?<=[:,\[\s])[-+]?(?:nan|inf|1\.#|none|null|undefined)[^\s,\]}]*(?=\s*[,\]}])",
    re.IGNORECASE,
)
_NO_VALUE = ("none", "null", "undefined")
#: How deeply numbers may be nested in objects of a report.
_MAX_DEPTH = 4


class JsonLines(MetricReader):
    """Reads a growing ``metrics.jsonl``, each line once. Lines that are not objects are skipped."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.values = run.values(METRICS_JSONL)
        self._file: Optional[GrowingFile] = None
        #: The name under which reports give their step: the first, in the order, of those seen.
        self._step: Optional[str] = None

    def found(self) -> Sequence[Found]:
        """The file's values."""
        return [(METRICS_JSONL, self.values)]

    def update(self) -> None:
        """Read a piece of what was appended since the last call."""
        self._take(self._opened().lines())

    def finish(self) -> None:
        """Read all that is left."""
        self._take(self._opened().rest())

    def _opened(self) -> GrowingFile:
        if self._file is None:
            files = self._run.files
            path = os.path.join(files.out_dir, METRICS_JSONL)
            self._file = GrowingFile(path, files.left.get(METRICS_JSONL))
        return self._file

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            report = _parsed(line)
            if isinstance(report, dict):
                report = dict(_flat(report))
                self.values.take(self._step_of(report), report)

    def _step_of(self, report: Dict[str, Any]) -> Optional[int]:
        """The step of a report; if others give a step and this one an epoch, that of the last."""
        name = step_name(report)
        if name is None or rank(name) > rank(self._step):
            return None if name is None else self.values.step
        self._step = name
        value = report.pop(name) if is_step(name) else report[name]
        return whole(number(value.strip()) if isinstance(value, str) else value)


def _flat(report: Dict[str, Any], before: str = "", depth: int = 0) -> Iterator[Tuple[str, Any]]:
    """The values of a report by their names: ``{"val": {"loss": 3}}`` has val/loss."""
    for name, value in report.items():
        if not isinstance(value, dict):
            yield before + name, value
        elif depth < _MAX_DEPTH:
            yield from _flat(value, before + name + "/", depth + 1)


def _parsed(line: bytes) -> Any:
    """The JSON value in a line; None if there is none. NaN may have any spelling."""
    text = line.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        # not the strict reader: a NaN is what a diverged run writes
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(_BARE.sub(_spelled, text))
    except (ValueError, RecursionError):
        return None


def _spelled(found: "re.Match[str]") -> str:
    if found.group().lower() in _NO_VALUE:
        return "null"
    value = number(found.group())
    return found.group() if value is None else json.dumps(value)
