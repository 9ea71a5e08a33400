"""The metrics of a row: their last values, their extremes and their sources."""

from typing import Any, Dict, Mapping, NamedTuple, Optional, Union

from pytest_wf.wire.rows.fields import NONE, Malformed, field_in

#: Metrics by name: numbers, or text such as 'nan'.
Metrics = Dict[str, Any]
NO_METRICS: Metrics = {}


class Extremes(NamedTuple):
    """The least and the greatest value of a metric, with their steps and that of the last.

    A value that is infinite is text; a step is None if none was reported.
    """

    step: Optional[int]
    min: Union[float, str]
    min_step: Optional[int]
    max: Union[float, str]
    max_step: Optional[int]

    @classmethod
    def from_json(cls, value: Any) -> "Extremes":
        """The extremes in a JSON object."""
        if not isinstance(value, dict):
            raise Malformed("the extremes of a metric are not an object")
        steps = {key: field_in(value, key, int, NONE) for key in ("step", "min_step", "max_step")}
        return cls(
            **steps, **{key: field_in(value, key, int, float, str) for key in ("min", "max")}
        )

    def as_json(self) -> Dict[str, Any]:
        """The extremes as `from_json` reads them."""
        return dict(self._asdict())


NO_EXTREMES: Mapping[str, Extremes] = {}
NO_SOURCES: Mapping[str, str] = {}


def measures(metrics: Metrics, extremes: Mapping[str, Extremes]) -> Metrics:
    """The last values by name, the extremes by ``min(name)`` and ``max(name)``."""
    found = dict(metrics)
    for name, one in extremes.items():
        found["min(%s)" % name] = one.min
        found["max(%s)" % name] = one.max
    return found


def extremes_in(value: Dict[str, Any]) -> Dict[str, Extremes]:
    """The extremes of metrics, by name, in a JSON object; none if it has none."""
    found = field_in(value, "extremes", dict, NONE) or {}
    return {name: Extremes.from_json(one) for name, one in found.items()}


def sources_in(value: Dict[str, Any]) -> Dict[str, str]:
    """The sources of metrics, by metric, in a JSON object; none if it has none."""
    found = field_in(value, "sources", dict, NONE) or {}
    if not all(isinstance(source, str) for source in found.values()):
        raise Malformed("the source of a metric is not text")
    return dict(found)
