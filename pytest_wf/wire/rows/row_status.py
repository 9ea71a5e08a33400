"""The status of a row."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from pytest_wf.wire.failures import EXPECT
from pytest_wf.wire.rows.ending import ENDING_FIELDS, ending_as_json, ending_in
from pytest_wf.wire.rows.extremes import (
    NO_EXTREMES,
    NO_METRICS,
    NO_SOURCES,
    Extremes,
    Metrics,
    measures,
)
from pytest_wf.wire.rows.fields import (
    NONE,
    Malformed,
    field_in,
    number_or_none_in,
    objects_in,
    run_id_in,
    text_in,
    whole_in,
)
from pytest_wf.wire.rows.note import Note
from pytest_wf.wire.rows.run_result import RunResult
from pytest_wf.wire.states import ROW_STATES, SUCCESS


class Live(NamedTuple):
    """The measurements of a running row on the pod."""

    #: The newest line of its log.
    line: str = ""
    #: For how long it has run, in seconds.
    ran_s: Optional[float] = None
    #: How many steps it has in all, and its rate; None if it does not report them.
    steps: Optional[float] = None
    steps_per_s: Optional[float] = None

    @classmethod
    def from_json(cls, value: Any) -> "Live":
        """The measurements in a JSON object."""
        if not isinstance(value, dict):
            raise Malformed("the measurements of a running row are not an object")
        # from the trainer's own log: one number out of range does not make the row invalid
        numbers = (number_or_none_in(value, key) for key in ("ran_s", "steps", "steps_per_s"))
        return cls(text_in(value, "line"), *numbers)

    def as_json(self) -> Dict[str, Any]:
        """The measurements as `from_json` reads them."""
        return dict(self._asdict())


class RowStatus(NamedTuple):
    """The status of one row of a campaign.

    The pod gives the state of its training. The controller adds the expectations that its metrics
    broke (`project.expectations`): after that, a row that broke an expectation has failed.
    """

    run_id: str
    #: One of the states of rows in `wire.states`.
    state: str
    index: int = 0  # type: ignore[assignment]
    #: Whether its training ended well; None before its end.
    ok: Optional[bool] = None
    attempts: int = 0
    exit_code: Optional[int] = None
    failure_class: Optional[str] = None
    reason: Optional[str] = None
    started_at: Optional[str] = None
    finished_at: Optional[str] = None
    duration_s: Optional[float] = None
    #: While it runs: what it reported last, and what is measured of it.
    progress: Optional[Metrics] = None
    live: Optional[Live] = None
    #: What it reported last, and the extremes of what it reported.
    metrics: Metrics = NO_METRICS
    extremes: Mapping[str, Extremes] = NO_EXTREMES
    #: Of each metric the source that counts, by the names in `wire.metrics.sources`.
    sources: Mapping[str, str] = NO_SOURCES
    gpus: Optional[List[Any]] = None
    #: The checkpoint that its last attempt resumed from, relative to the run directory.
    resumed_from: Optional[str] = None
    adopted_from: Optional[str] = None
    expect: str = ""
    notes: Tuple[Note, ...] = ()
    #: One a clause: what was expected of its metrics, and what they were.
    expectations: Tuple[Dict[str, Any], ...] = ()

    @property
    def measures(self) -> Metrics:
        """Values for conditions: the last ones, and each ``min(name)`` and ``max(name)``."""
        return measures(self.metrics, self.extremes)

    @property
    def trained(self) -> bool:
        """Whether its training ended well, whatever its metrics are."""
        return self.state == SUCCESS or self.failure_class == EXPECT

    @classmethod
    def from_json(cls, value: Any) -> "RowStatus":
        """The status in a JSON object."""
        run_id = run_id_in(value)
        state = field_in(value, "state", str)
        if state not in ROW_STATES:
            raise Malformed("row %s: no row has the state %.200r" % (run_id, state))
        live = value.get("live")
        return cls(
            run_id=run_id,
            state=state,
            index=whole_in(value, "index") or 0,
            ok=field_in(value, "ok", bool, NONE),
            attempts=whole_in(value, "attempts") or 0,
            adopted_from=field_in(value, "adopted_from", str, NONE),
            expect=text_in(value, "expect"),
            progress=field_in(value, "progress", dict, NONE),
            live=None if live is None else Live.from_json(live),
            expectations=objects_in(value, "expectations"),
            **ending_in(value),
        )

    def ended(self, result: RunResult) -> "RowStatus":
        """The status of this row, with its end from `result`."""
        return self._replace(**{name: getattr(result, name) for name in ENDING_FIELDS})

    def as_json(self) -> Dict[str, Any]:
        """The status as `from_json` reads it."""
        return dict(
            self._asdict(),
            live=self.live and self.live.as_json(),
            expectations=list(self.expectations),
            **ending_as_json(self),
        )
