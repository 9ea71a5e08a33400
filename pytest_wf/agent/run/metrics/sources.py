"""All sources of a run's metrics, and the one that counts."""

from functools import lru_cache, partial
from typing import Callable, List, Optional, Tuple

from pytest_wf.agent.run.metrics.jsonl import JsonLines
from pytest_wf.agent.run.metrics.log_lines import LogLines
from pytest_wf.agent.run.metrics.reader import MetricReader
from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.values import MAX_NAMES, MetricValues

#: Makes each reader of files for a run's `out_dir`. The first one that finds metrics counts, the
#: log last.
READERS: Tuple[Callable[[str], MetricReader], ...] = (JsonLines,)


class RunMetrics:
    """The metrics of one run, from whichever source it writes to.

    What is read goes to `record` too, where there is one. `mask` masks secrets in names,
    `log_pattern` is `METRICS_LOG_PATTERN`.
    """

    def __init__(
        self,
        out_dir: str,
        record: Optional[MetricsRecord] = None,
        mask: Callable[[str], str] = str,
        log_pattern: str = "",
    ) -> None:
        self._readers: List[MetricReader] = [make(out_dir) for make in READERS]
        self._readers.append(LogLines(log_pattern))
        self._record = record
        masked = lru_cache(MAX_NAMES)(mask)
        for reader in self._readers:
            reader.values.mask = masked
        if record is not None:
            for place, reader in enumerate(self._readers):
                reader.values.on_report = partial(record.take, place)

    @property
    def values(self) -> MetricValues:
        """Those of the first reader that found any; empty where none did."""
        found = [reader.values for reader in self._readers]
        return next((values for values in found if values.points), found[-1])

    @property
    def total_steps(self) -> Optional[int]:
        """How many steps there will be, where any source says so."""
        found = [self.values, *(reader.values for reader in self._readers)]
        return next((values.total_steps for values in found if values.total_steps), None)

    def take_log(self, text: str) -> None:
        """Give whole lines of the log to each reader."""
        for reader in self._readers:
            reader.take_log(text)

    def update(self) -> None:
        """Let each reader read on."""
        for reader in self._readers:
            reader.update()
        if self._record is not None:
            self._record.flush()

    def finish(self) -> None:
        """Let each reader read to the end."""
        for reader in self._readers:
            reader.finish()
        if self._record is not None:
            self._record.close()
