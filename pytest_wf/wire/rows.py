"""A sweep's rows, as both sides know them: the row itself, its status, its result.

Each class is read from JSON by `from_json`, which raises `Malformed` for a field of the wrong
type and ignores unknown ones, and written as JSON by `as_json`.
"""

import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, TypeVar, Union

from pytest_wf.wire import ids
from pytest_wf.wire.failures import EXPECT
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.states import (
    ROW_ENDED,
    ROW_STATES,
    SUCCESS,
    SUPERVISOR_STATES,
    count,
)

#: Version of the records in files of run directories.
SCHEMA = 1

T = TypeVar("T")
_NONE = type(None)
_LARGEST = 1e18

#: Metrics by name: numbers, or text such as 'nan'.
Metrics = Dict[str, Any]
NO_METRICS: Metrics = {}

#: What decides a row's training besides its cells and the commit, by part.
Recipe = Mapping[str, str]
NO_RECIPE: Recipe = {}

_NOTE_CODE = re.compile(r"[a-z]+(-[a-z]+)*")


class Malformed(ValueError):
    """JSON that is not the record that it should be."""


class Note(NamedTuple):
    """Something remarkable about a row or a task that is neither its state nor its failure."""

    #: Lower-case words joined by '-', such as 'late-writer': the name for programs.
    code: str
    text: str

    @classmethod
    def from_json(cls, value: Any) -> "Note":
        """The note in a JSON object."""
        if not isinstance(value, dict):
            raise Malformed("a note is not an object")
        code = _field(value, "code", str)
        if not _NOTE_CODE.fullmatch(code):
            raise Malformed("not a note's code: %.200r" % (code,))
        return cls(code, _field(value, "text", str))

    def as_json(self) -> Dict[str, Any]:
        """The note as `from_json` reads it."""
        return dict(self._asdict())


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
        steps = {key: _field(value, key, int, _NONE) for key in ("step", "min_step", "max_step")}
        return cls(**steps, **{key: _field(value, key, int, float, str) for key in ("min", "max")})

    def as_json(self) -> Dict[str, Any]:
        """The extremes as `from_json` reads them."""
        return dict(self._asdict())


NO_EXTREMES: Mapping[str, Extremes] = {}
NO_SOURCES: Mapping[str, str] = {}


class Row(NamedTuple):
    """One row of a sweep: one training."""

    #: Place in the manifest, from 0.
    index: int  # type: ignore[assignment]  # a row is never searched as a tuple
    run_id: str
    #: Path below TRAIN_WORKDIR_REL; '' if the command template uses none.
    config: str
    seed: int
    #: As written in the CSV, and split as a shell does.
    overrides: str
    argv: Tuple[str, ...]
    notes: str = ""
    timeout_s: Optional[int] = None
    gpus: Optional[int] = None
    retries: Optional[int] = None
    expect: str = ""
    #: Line of the CSV on which the row begins; 0 if it is not known.
    line: int = 0
    #: The campaign whose result was adopted as this row's; None if the row is run.
    adopted_from: Optional[str] = None
    #: Over how many machines of a cluster it is trained; None for one.
    nodes: Optional[int] = None

    @classmethod
    def from_json(cls, value: Any) -> "Row":
        """The row in a JSON object."""
        run_id = _run_id(value)
        argv = _field(value, "argv", list)
        if not all(isinstance(word, str) for word in argv):
            raise Malformed("row %s: argv is not a list of strings" % run_id)
        config = _text(value, "config")
        if config.startswith("/") or ".." in config.split("/"):
            raise Malformed("row %s: not a path in the working directory: %r" % (run_id, config))
        if any("\0" in text for text in [config, *argv]):
            raise Malformed("row %s: an argument holds a NUL byte" % run_id)
        return cls(
            index=_whole(value, "index") or 0,
            run_id=run_id,
            config=config,
            seed=_field(value, "seed", int),
            overrides=_text(value, "overrides"),
            argv=tuple(argv),
            notes=_text(value, "notes"),
            timeout_s=_whole(value, "timeout_s"),
            gpus=_whole(value, "gpus"),
            retries=_whole(value, "retries"),
            expect=_text(value, "expect"),
            line=_whole(value, "line") or 0,
            adopted_from=_text(value, "adopted_from") or None,
            nodes=_whole(value, "nodes"),
        )

    def as_json(self) -> Dict[str, Any]:
        """The row as `from_json` reads it."""
        return dict(self._asdict(), argv=list(self.argv))


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
        numbers = (_number_or_none(value, key) for key in ("ran_s", "steps", "steps_per_s"))
        return cls(_text(value, "line"), *numbers)

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
        run_id = _run_id(value)
        state = _field(value, "state", str)
        if state not in ROW_STATES:
            raise Malformed("row %s: no row has the state %.200r" % (run_id, state))
        live = value.get("live")
        return cls(
            run_id=run_id,
            state=state,
            index=_whole(value, "index") or 0,
            ok=_field(value, "ok", bool, _NONE),
            attempts=_whole(value, "attempts") or 0,
            adopted_from=_field(value, "adopted_from", str, _NONE),
            expect=_text(value, "expect"),
            progress=_field(value, "progress", dict, _NONE),
            live=None if live is None else Live.from_json(live),
            expectations=_objects(value, "expectations"),
            **_ending(value),
        )

    def ended(self, result: "RunResult") -> "RowStatus":
        """The status of this row, with its end from `result`."""
        return self._replace(**{name: getattr(result, name) for name in _OF_THE_END})

    def as_json(self) -> Dict[str, Any]:
        """The status as `from_json` reads it."""
        return dict(
            self._asdict(),
            live=self.live and self.live.as_json(),
            extremes={name: found.as_json() for name, found in self.extremes.items()},
            sources=dict(self.sources),
            notes=[note.as_json() for note in self.notes],
            expectations=list(self.expectations),
        )


class CampaignStatus(NamedTuple):
    """The status of a campaign: its supervisor, its rows, the state of its pod."""

    campaign_id: str
    created_at: str
    flow_id: str
    git_sha: str
    dry_run: bool
    manifest_sha256: str
    #: One of the states of supervisors in `wire.states`.
    supervisor: str
    #: The pod's FSM state, and the reason for it or what the next row waits for.
    state: str
    reason: str
    #: The command that shows the live log; None if attaching is not possible.
    attach: Optional[str]
    #: In the order of the manifest.
    rows: List[RowStatus]
    #: Whether the user has stopped it and it has not been resumed since.
    stopped: bool = False
    #: The ceiling on costs that is reached, so that no further row begins; '' for none.
    ceiling: str = ""
    #: Identifies the version of all fields above: another one means news.
    seen: str = ""
    #: The version since which `rows` have changed; '' if they are all rows.
    since: str = ""
    #: The pod's time; a new time alone is not news.
    now: str = ""

    @property
    def failed(self) -> int:
        """How many rows ended badly."""
        return self.counts()["failed"]

    @property
    def in_progress(self) -> int:
        """How many rows have begun and not ended."""
        return self.counts()["in_progress"]

    @property
    def open(self) -> int:
        """How many rows have not ended, as far as is known."""
        counts = self.counts()
        return counts["in_progress"] + counts["missing_dir"]

    def counts(self) -> Dict[str, int]:
        """The figures of one status line."""
        return count(row.state for row in self.rows)

    @classmethod
    def from_json(cls, value: Any) -> "CampaignStatus":
        """The status in a JSON object."""
        rows = listed(value, "rows", RowStatus.from_json)
        texts = (
            "created_at",
            "flow_id",
            "git_sha",
            "manifest_sha256",
            "reason",
            "ceiling",
            "seen",
            "since",
            "now",
        )
        supervisor = _field(value, "supervisor", str)
        if supervisor not in SUPERVISOR_STATES:
            raise Malformed("no supervisor is %.200r" % (supervisor,))
        return cls(
            campaign_id=_field(value, "campaign_id", str),
            supervisor=supervisor,
            state=_field(value, "state", str),
            attach=_field(value, "attach", str, _NONE),
            dry_run=_field(value, "dry_run", bool),
            rows=rows,
            stopped=_field(value, "stopped", bool, _NONE) or False,
            **{key: _text(value, key) for key in texts},
        )

    def as_json(self) -> Dict[str, Any]:
        """The status as `from_json` reads it, with its counts."""
        return dict(self._asdict(), rows=[row.as_json() for row in self.rows], **self.counts())


class RunResult(NamedTuple):
    """How a row ended: the ``summary.json`` of its run directory."""

    run_id: str
    state: str
    ok: bool
    attempts: int
    campaign_id: str
    git_sha: str
    config: str
    seed: int
    overrides: str
    exit_code: Optional[int] = None
    failure_class: Optional[str] = None
    reason: Optional[str] = None
    started_at: Optional[str] = None
    finished_at: Optional[str] = None
    duration_s: Optional[float] = None
    metrics: Metrics = NO_METRICS
    extremes: Mapping[str, Extremes] = NO_EXTREMES
    #: Of each metric the source that counts, by the names in `wire.metrics.sources`.
    sources: Mapping[str, str] = NO_SOURCES
    gpus: Optional[List[Any]] = None
    resumed_from: Optional[str] = None
    dry_run: bool = False
    notes: Tuple[Note, ...] = ()
    #: The project that it is a run of: `WF_PROJECT`.
    project: str = ""
    recipe: Recipe = NO_RECIPE

    @classmethod
    def from_json(cls, value: Any) -> "RunResult":
        """The result in a JSON object."""
        run_id = _run_id(value)
        if value.get("schema") != SCHEMA:
            raise Malformed("row %s: an incompatible version wrote its result" % run_id)
        state, ok = _field(value, "state", str), _field(value, "ok", bool)
        if state not in ROW_ENDED or ok != (state == SUCCESS):
            raise Malformed("row %s: ok is %s, in the state %.200r" % (run_id, ok, state))
        return cls(
            run_id=run_id,
            state=state,
            ok=ok,
            attempts=_required(value, "attempts"),
            campaign_id=_field(value, "campaign_id", str),
            git_sha=_field(value, "git_sha", str),
            config=_field(value, "config", str),
            seed=_field(value, "seed", int),
            overrides=_field(value, "overrides", str),
            dry_run=_field(value, "dry_run", bool),
            project=_text(value, "project"),
            recipe=recipe_in(value),
            **_ending(value),
        )

    def as_json(self) -> Dict[str, Any]:
        """The result as `from_json` reads it."""
        return dict(
            self._asdict(),
            schema=SCHEMA,
            recipe=dict(self.recipe),
            recipe_sha256=sha256_bytes(canonical_json(dict(self.recipe))),
            extremes={name: found.as_json() for name, found in self.extremes.items()},
            sources=dict(self.sources),
            notes=[note.as_json() for note in self.notes],
        )


def measures(metrics: Metrics, extremes: Mapping[str, Extremes]) -> Metrics:
    """The last values by name, the extremes by ``min(name)`` and ``max(name)``."""
    found = dict(metrics)
    for name, one in extremes.items():
        found["min(%s)" % name] = one.min
        found["max(%s)" % name] = one.max
    return found


class FoundRun(NamedTuple):
    """A run directory on the pod, of any campaign."""

    #: Relative to the outputs directory: `ids.is_run_path`.
    path: str
    #: 'unknown' if the directory does not record it.
    campaign_id: str
    #: The state of its result; 'unknown' if none can be read.
    state: str
    #: The commit that it was trained at; '' if that is not known.
    git_sha: str = ""

    @classmethod
    def from_json(cls, value: Any) -> "FoundRun":
        """The run in a JSON object."""
        if not isinstance(value, dict):
            raise Malformed("a run is not an object")
        path, campaign_id = _field(value, "path", str), _field(value, "campaign_id", str)
        if not ids.is_run_path(path) or not ids.is_id(campaign_id):
            raise Malformed(
                "no run has the path %.200r and the campaign %.200r" % (path, campaign_id)
            )
        return cls(path, campaign_id, _field(value, "state", str), _text(value, "git_sha"))


def _ending(value: Dict[str, Any]) -> Dict[str, Any]:
    """The fields about its end that a row's status and its result share."""
    return {
        "exit_code": _field(value, "exit_code", int, _NONE),
        "failure_class": _field(value, "failure_class", str, _NONE),
        "reason": _field(value, "reason", str, _NONE),
        "started_at": _field(value, "started_at", str, _NONE),
        "finished_at": _field(value, "finished_at", str, _NONE),
        "duration_s": _number(value, "duration_s"),
        "metrics": _field(value, "metrics", dict, _NONE) or {},
        "extremes": extremes_in(value),
        "sources": sources_in(value),
        "gpus": _field(value, "gpus", list, _NONE),
        "resumed_from": _text(value, "resumed_from") or None,
        "notes": notes_in(value),
    }


def extremes_in(value: Dict[str, Any]) -> Dict[str, Extremes]:
    """The extremes of metrics, by name, in a JSON object; none if it has none."""
    found = _field(value, "extremes", dict, _NONE) or {}
    return {name: Extremes.from_json(one) for name, one in found.items()}


def sources_in(value: Dict[str, Any]) -> Dict[str, str]:
    """The sources of metrics, by metric, in a JSON object; none if it has none."""
    found = _field(value, "sources", dict, _NONE) or {}
    if not all(isinstance(source, str) for source in found.values()):
        raise Malformed("the source of a metric is not text")
    return dict(found)


def recipe_in(value: Dict[str, Any]) -> Dict[str, str]:
    """The recipe in a JSON object; empty if it has none."""
    found = _field(value, "recipe", dict, _NONE) or {}
    if not all(isinstance(text, str) for text in found.values()):
        raise Malformed("a recipe holds something other than text")
    return dict(found)


def notes_in(value: Dict[str, Any]) -> Tuple[Note, ...]:
    """The notes in a JSON object; none if it has no list of them."""
    return tuple(listed(value, "notes", Note.from_json)) if "notes" in value else ()


def listed(value: Any, key: str, from_json: Callable[[Any], T]) -> List[T]:
    """The records in the list `value[key]`, each read by `from_json`."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise Malformed("%s is not a list" % key)
    return [from_json(one) for one in found]


def _objects(value: Dict[str, Any], key: str) -> Tuple[Dict[str, Any], ...]:
    """The objects in the list `value[key]`; none if there is no list."""
    found = _field(value, key, list, _NONE) or []
    if not all(isinstance(one, dict) for one in found):
        raise Malformed("row %s: %s are not objects" % (value.get("run_id"), key))
    return tuple(found)


def _run_id(value: Any) -> str:
    """The run id of the row in `value`, which is thereby known to be an object."""
    if not isinstance(value, dict):
        raise Malformed("a row is not an object")
    run_id = value.get("run_id")
    if not isinstance(run_id, str) or not ids.is_id(run_id):
        raise Malformed("not a run id: %.200r" % (run_id,))
    return run_id


def _field(value: Dict[str, Any], key: str, *types: type) -> Any:
    """A field of one of `types`; a bool is not an int."""
    found = value.get(key)
    if type(found) not in types:
        where = "row %s: " % value["run_id"] if "run_id" in value else ""
        kinds = " or ".join(_NAMES[kind] for kind in types)
        raise Malformed("%s%s is not %s: %.200r" % (where, key, kinds, found))
    return found


_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    _NONE: "null",
}


def _text(value: Dict[str, Any], key: str) -> str:
    """Text; '' if there is none."""
    found: str = _field(value, key, str, _NONE) or ""
    return found


def _number(value: Dict[str, Any], key: str) -> Optional[float]:
    """A number that can be calculated with; None if there is none."""
    found: Optional[float] = _field(value, key, float, int, _NONE)
    if found is not None and not -_LARGEST < found < _LARGEST:
        raise Malformed("row %s: %s is too large" % (value.get("run_id"), key))
    return found


def _number_or_none(value: Dict[str, Any], key: str) -> Optional[float]:
    """As `_number`; None also if the number is too large."""
    found: Optional[float] = _field(value, key, float, int, _NONE)
    return found if found is not None and -_LARGEST < found < _LARGEST else None


def _required(value: Dict[str, Any], key: str) -> int:
    """A whole number from 0, which must be there."""
    _field(value, key, int)
    return _whole(value, key) or 0


def _whole(value: Dict[str, Any], key: str) -> Optional[int]:
    """A whole number from 0; None if there is none."""
    found: Optional[int] = _field(value, key, int, _NONE)
    if found is not None and found < 0:
        raise Malformed("row %s: %s is below 0: %d" % (value.get("run_id"), key, found))
    return found


_OF_THE_END = ("state", "ok", "attempts", *_ending({}))
