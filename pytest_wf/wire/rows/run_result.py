"""The results of run directories."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from pytest_wf.wire import ids
from pytest_wf.wire.files import canonical_json, sha256_bytes
from pytest_wf.wire.rows.ending import ending_as_json, ending_in
from pytest_wf.wire.rows.extremes import NO_EXTREMES, NO_METRICS, NO_SOURCES, Extremes, Metrics
from pytest_wf.wire.rows.fields import (
    NONE,
    Malformed,
    field_in,
    required_whole_in,
    run_id_in,
    text_in,
)
from pytest_wf.wire.rows.note import Note
from pytest_wf.wire.states import ROW_ENDED, SUCCESS

#: Version of the records in files of run directories.
SCHEMA = 1

#: What decides a row's training besides its cells and the commit, by part.
Recipe = Mapping[str, str]
NO_RECIPE: Recipe = {}


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
        run_id = run_id_in(value)
        if value.get("schema") != SCHEMA:
            raise Malformed("row %s: an incompatible version wrote its result" % run_id)
        state, ok = field_in(value, "state", str), field_in(value, "ok", bool)
        if state not in ROW_ENDED or ok != (state == SUCCESS):
            raise Malformed("row %s: ok is %s, in the state %.200r" % (run_id, ok, state))
        return cls(
            run_id=run_id,
            state=state,
            ok=ok,
            attempts=required_whole_in(value, "attempts"),
            campaign_id=field_in(value, "campaign_id", str),
            git_sha=field_in(value, "git_sha", str),
            config=field_in(value, "config", str),
            seed=field_in(value, "seed", int),
            overrides=field_in(value, "overrides", str),
            dry_run=field_in(value, "dry_run", bool),
            project=text_in(value, "project"),
            recipe=recipe_in(value),
            **ending_in(value),
        )

    def as_json(self) -> Dict[str, Any]:
        """The result as `from_json` reads it."""
        return dict(
            self._asdict(),
            schema=SCHEMA,
            recipe=dict(self.recipe),
            recipe_sha256=sha256_bytes(canonical_json(dict(self.recipe))),
            **ending_as_json(self),
        )


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
        path, campaign_id = field_in(value, "path", str), field_in(value, "campaign_id", str)
        if not ids.is_run_path(path) or not ids.is_id(campaign_id):
            raise Malformed(
                "no run has the path %.200r and the campaign %.200r" % (path, campaign_id)
            )
        return cls(path, campaign_id, field_in(value, "state", str), text_in(value, "git_sha"))


def recipe_in(value: Dict[str, Any]) -> Dict[str, str]:
    """The recipe in a JSON object; empty if it has none."""
    found = field_in(value, "recipe", dict, NONE) or {}
    if not all(isinstance(text, str) for text in found.values()):
        raise Malformed("a recipe holds something other than text")
    return dict(found)
