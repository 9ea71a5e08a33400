"""The metrics of a run from several sources, of which one counts for each metric."""

from typing import Dict, Iterable, Set

from pytest_wf.agent.run.metrics.reader import Found
from pytest_wf.agent.run.metrics.values import MAX_NAMES, MetricValues


class MergedValues(MetricValues):
    """The values that count, and the source of each metric."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: Dict[str, str] = {}


def merge(found: Iterable[Found]) -> MergedValues:
    """For each metric the value of the first source that has it; likewise the step and the total.

    Names are compared case-insensitively. The values stay those of their sources.
    """
    merged = MergedValues()
    taken: Set[str] = set()
    for source, values in found:
        merged.points += values.points
        if merged.step is None:
            merged.step = values.step
        merged.total_steps = merged.total_steps or values.total_steps
        # a source may have two names that differ only in case: both are its own
        new = [one for one in values.metrics() if one[0].casefold() not in taken]
        for name, metric in new[: MAX_NAMES - len(merged.sources)]:
            taken.add(name.casefold())
            merged.sources[name] = source
            merged.have(name, metric)
    return merged
