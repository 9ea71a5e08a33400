"""Reader of ``metrics.jsonl``: one JSON object a line, with its step under ``step``."""

import json
import os
import re
from typing import Any, Iterable, Optional, Sequence

from pytest_wf.agent.run.metrics.growing_file import GrowingFile
from pytest_wf.agent.run.metrics.numbers import number
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.values import whole
from pytest_wf.wire.metrics.sources import METRICS_JSONL

# a value as C, Python, JavaScript or a shell spell it, in the place of a JSON value
_BARE = re.compile(
    r"(?<=[:,\[\s])[-+]?(?:nan|inf|1\.#|none|null|undefined)[^\s,\]}]*(?=\s*[,\]}])",
    re.IGNORECASE,
)
_NO_VALUE = ("none", "null", "undefined")


class JsonLines(MetricReader):
    """Reads a growing ``metrics.jsonl``, each line once. A line that is no object is skipped."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.values = run.values(METRICS_JSONL)
        self._file: Optional[GrowingFile] = None

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
                self.values.take(whole(report.pop("step", None)), report)


def _parsed(line: bytes) -> Any:
    """The JSON value in a line; None where it is none. NaN may be spelled in any way."""
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
