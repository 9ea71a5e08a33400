"""Reader of ``metrics.jsonl``: one JSON object per line."""

import json
import os
import re
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

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
#: What may be around an object: marks of encodings and records, a hole of a broken disk, a comma.
_AROUND = "\ufeff\x1e\0, \t\r"
_NO_VALUE = ("none", "null", "undefined")
#: The most JSON values in one line.
_MAX_VALUES = 1000
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
        #: The greatest step that was read, and that step when the file was last begun anew.
        self._greatest = self._repeated = -1
        self._readings = 0

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
            if self._opened().readings != self._readings:
                self._readings, self._repeated = self._opened().readings, self._greatest
            for found in _objects(line):
                report = dict(_flat(found))
                step = self._step_of(report)
                is_repeated = step is not None and step <= self._repeated
                self.values.take(step, report, is_repeated)
                self._greatest = max(self._greatest, -1 if step is None else step)

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


def _objects(line: bytes) -> List[Dict[str, Any]]:
    """The JSON objects in a line. NaN may have any spelling."""
    text = line.decode("utf-8", "replace").strip(_AROUND)
    try:
        # not the strict reader: a NaN is what a diverged run writes
        found = [json.loads(text)] if text else []
    except (ValueError, RecursionError):
        found = list(islice(_decoded(_BARE.sub(_spelled, text)), _MAX_VALUES))
    return [
        one
        for value in found
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, dict)
    ]


def _decoded(text: str) -> Iterator[Any]:
    """The JSON values of a text, up to what is not one."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield value
        while text[place : place + 1] and text[place] in _AROUND:
            place += 1


def _spelled(found: "re.Match[str]") -> str:
    if found.group().lower() in _NO_VALUE:
        return "null"
    value = number(found.group())
    return found.group() if value is None else json.dumps(value)
