"""All sources of a run's metrics, read together."""

from functools import lru_cache, partial
from typing import Callable, Dict, List, Optional, Tuple

from pytest_wf.agent.run.metrics import csv_tables, json_results, trainer_state
from pytest_wf.agent.run.metrics.csv_tables import CsvTables
from pytest_wf.agent.run.metrics.json_results import JsonResults
from pytest_wf.agent.run.metrics.jsonl import JsonLines
from pytest_wf.agent.run.metrics.log.lines import LogLines
from pytest_wf.agent.run.metrics.merge import MergedValues, merge
from pytest_wf.agent.run.metrics.reader import Found, MetricReader, Run
from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.trainer_bar import TrainerBar
from pytest_wf.agent.run.metrics.trainer_state import TrainerState
from pytest_wf.agent.run.metrics.values import MAX_NAMES, MetricValues
from pytest_wf.wire.metrics.sources import METRICS_JSONL, rank

#: Makes each reader of a run. Which source counts is in `wire.metrics.sources`.
READERS: Tuple[Callable[[Run], MetricReader], ...] = (
    JsonLines,
    TrainerState,
    CsvTables,
    JsonResults,
    TrainerBar,
    LogLines,
)
#: The files that they look for.
NAMES = (METRICS_JSONL, trainer_state.NAME, *csv_tables.NAMES, *json_results.NAMES)


class RunMetrics:
    """The metrics of one run, from all sources that it writes to.

    What is read goes to `record` too, if there is one. `mask` masks secrets in names, `log_pattern`
    is `METRICS_LOG_PATTERN`.
    """

    def __init__(
        self,
        out_dir: str,
        record: Optional[MetricsRecord] = None,
        mask: Callable[[str], str] = str,
        log_pattern: str = "",
    ) -> None:
        self._record = record
        self._mask = lru_cache(MAX_NAMES)(mask)
        run = Run(out_dir, NAMES, self._new_values, log_pattern)
        self.files = run.files
        self._readers: List[MetricReader] = [make(run) for make in READERS]

    @property
    def values(self) -> MergedValues:
        """What was read, in the order in which sources count."""
        return _merged(sorted(self._found(), key=_place))

    @property
    def live_values(self) -> MergedValues:
        """What was read, with late sources after those that are up to date."""
        late = {id(values) for r in self._readers if r.is_late for _, values in r.found()}
        return _merged(sorted(self._found(), key=lambda one: (id(one[1]) in late, _place(one))))

    def take_log(self, text: str) -> None:
        """Give whole lines of the log to each reader."""
        for reader in self._readers:
            reader.take_log(text)

    def update(self) -> None:
        """Let each reader read what is new."""
        self.files.look()
        for reader in self._readers:
            reader.update()
        if self._record is not None:
            self._record.flush()

    def finish(self) -> None:
        """Let each reader read to the end."""
        self.files.look(is_last=True)
        for reader in self._readers:
            reader.finish()
        if self._record is not None:
            self._record.close()

    def _found(self) -> List[Found]:
        return [one for reader in self._readers for one in reader.found()]

    def _new_values(self, source: str) -> MetricValues:
        values = MetricValues()
        values.mask = self._mask
        if self._record is not None:
            values.on_report = partial(self._record.take, self._mask(source))
        return values


def _place(found: Found) -> int:
    return rank(found[0])


def _merged(found: List[Found]) -> MergedValues:
    """The values of ordered sources, at the step that the run has reached.

    One source may give epochs and another steps: except for `METRICS_JSONL`, the largest counts. Of
    several files of one kind, the first one's counts.
    """
    merged = merge(found)
    steps: Dict[int, int] = {}
    for one in found:
        if one[1].step is not None:
            steps.setdefault(_place(one), one[1].step)
    merged.step = steps.get(rank(METRICS_JSONL), max(steps.values(), default=None))
    return merged
