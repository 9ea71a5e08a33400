"""Reader of the results that Hugging Face's scripts write at their end: ``all_results.json``."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from pytest_wf.agent.run.metrics.out_files import OutFile, read_object
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.values import finite

NAMES = ("all_results.json", "eval_results.json", "train_results.json")
_MAX_BYTES = 1024 * 1024


class JsonResults(MetricReader):
    """Reads one JSON object of numbers per file, once the run has ended."""

    is_late = True

    def __init__(self, run: Run) -> None:
        self._run = run
        self._found: List[Found] = []

    def found(self) -> Sequence[Found]:
        """The values of each file."""
        return self._found

    def update(self) -> None:
        """Wait for the end of the run."""

    def finish(self) -> None:
        """Read the newest file of each name."""
        newest = (self._newest(name) for name in NAMES)
        self._found = [self._read(*one) for one in newest if one is not None]

    def _newest(self, name: str) -> Optional[Tuple[OutFile, Dict[str, Any]]]:
        for file in self._run.files.named(name):
            results = read_object(file.path, _MAX_BYTES)
            if results is not None:
                return file, results
        return None

    def _read(self, file: OutFile, results: Dict[str, Any]) -> Found:
        values = self._run.values(file.source)
        values.take(self._run.step_at(finite(results.get("epoch"))), results)
        return file.source, values
