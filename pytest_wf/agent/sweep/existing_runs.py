"""Runs that already exist when a campaign starts: adopted, moved to the archive, or in the way."""

import os
import re
import shlex
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.control import clock, frozen_campaign, recipe
from pytest_wf.agent.control.request import Args
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.results.logs import last_attempt
from pytest_wf.agent.run import mirror
from pytest_wf.agent.run.executor import executor_of
from pytest_wf.agent.run.run_dir import Unreadable, read_object, read_result
from pytest_wf.agent.setup.git import Repository
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.setup.same_code import ReadHere
from pytest_wf.agent.sweep import run_archive
from pytest_wf.wire import ids
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import MARKER, NotOurs, is_foreign_folder, is_our_folder
from pytest_wf.wire.rows import Row, RunResult
from pytest_wf.wire.states import UNKNOWN

#: How many runs a message names; its facts name them all.
_SHOWN = 10
_SAME_CODE, _SAME_COMMIT = "same-code", "same-commit"
#: A good result, and how the result of its row would differ now.
Differing = Tuple[RunResult, str]


class Wish(NamedTuple):
    """What a start asks for, besides its rows."""

    #: The commit to be trained; '' if that is not known yet: any.
    git_sha: str
    #: `SWEEP_ADOPT`: 'same-code', 'same-commit' or 'never'.
    adopt: str = _SAME_CODE
    #: Whether all rows are trained again.
    force: bool = False
    #: The rows that are trained again, whatever results they have.
    retrain: FrozenSet[str] = frozenset()
    #: The rows that are launched; None for all. The run of another row may be adopted, and
    #: otherwise stays where it is.
    selected: Optional[FrozenSet[str]] = None
    dry_run: bool = False
    #: The files in which commits may differ and still train the same.
    read_here: ReadHere = ReadHere()
    #: Commits that train the same as `git_sha`, as the controller's own repository says.
    same_code: FrozenSet[str] = frozenset()

    @classmethod
    def of(cls, args: Args, git_sha: str) -> "Wish":
        """The wish in a request's arguments."""
        return cls(
            git_sha,
            str(args.get("adopt") or _SAME_CODE),
            args.get("force") is True,
            frozenset(map(str, args.get("retrain") or ())),
            None if args.get("selected") is None else frozenset(map(str, args["selected"])),
            args.get("dry_run") is True,
            ReadHere.from_json(args.get("read_here")),
            # the controller's commit may be another one than is checked out here
            frozenset(map(str, args.get("same_code") or ()))
            if args.get("same_code_as") == git_sha
            else frozenset(),
        )

    def takes(self, row: Row) -> bool:
        """Whether the row is launched."""
        return self.selected is None or row.run_id in self.selected


class Plan(NamedTuple):
    """What a start does with each row."""

    #: Those whose result is adopted are marked with the campaign that trained it.
    rows: List[Row]
    #: The run directories that move to the archive: run id, and the campaign that owns it.
    away: List[Tuple[str, str]]
    #: How many rows are neither adopted nor launched.
    not_selected: int = 0

    @property
    def counts(self) -> Dict[str, int]:
        """How many rows are adopted, trained again, new, and not selected."""
        adopted = sum(row.adopted_from is not None for row in self.rows)
        again = len(self.away)
        new = len(self.rows) - adopted - again - self.not_selected
        counts = {"adopted": adopted, "again": again, "new": new}
        return {**counts, "not_selected": self.not_selected} if self.not_selected else counts


def plan(settings: Settings, rows: List[Row], wish: Wish) -> Plan:
    """What a start would do with each row; changes nothing.

    A good run of the same row, code and recipe is adopted, even if the row is not selected. A row
    that failed, or whose config, seed or overrides changed, is trained again. Raises Refusal:
    'run-exists' if something else has the name of a run, 'sweep-running' if processes of a run are
    alive, and 'run-differs' if good results that were trained otherwise would be replaced.
    """
    refuse_foreign(settings, [row for row in rows if wish.takes(row)])
    now: Optional[_Now] = None
    found, away, differing = [], [], []
    for row in rows:
        run = _Run.at(settings.run_dir(row.run_id))
        is_taken = wish.takes(row)
        if run is None or not (is_taken or run.project == settings.project):
            found.append(row)
            continue
        result = run.result
        is_asked = wish.force or row.run_id in wish.retrain
        if is_asked or result is None or not result.ok or _is_edited(row, result):
            found.append(row)
            if is_taken:
                run.refuse_while_alive()
                away.append((row.run_id, run.owner))
            continue
        now = now or _Now(settings, wish)
        why = now.why_other(row, result)
        if why and is_taken:
            differing.append((result, why))
        found.append(row if why else row._replace(adopted_from=result.campaign_id))
    if differing:
        raise _trained_otherwise(differing, _meant(settings, rows, differing))
    left = [row for row in found if not (row.adopted_from or wish.takes(row))]
    return Plan(found, away, len(left))


def carry_out(settings: Settings, planned: Plan) -> List[Dict[str, str]]:
    """Move the runs of a plan to the archive; what was moved where.

    If it is interrupted at any point, it can be repeated: a run that was moved is new to the next
    plan.
    """
    return [run_archive.take(settings, run_id, owner) for run_id, owner in planned.away]


def refuse_foreign(settings: Settings, rows: List[Row]) -> None:
    """Raise Refusal 'run-exists' if something else is in the place of a run, or a run of
    another project."""
    places = [settings.run_dir(row.run_id) for row in rows]
    foreign = [path for path in places if is_foreign_folder(path)]
    foreign += mirror.foreign(settings, rows)
    why = [NotOurs(path).message for path in foreign]
    others = [(path, run.project) for path, run in _runs(places) if run.project != settings.project]
    for path, project in others:
        whose = "of project %s" % project if project else "of an unknown project"
        why.append("%s is a run %s, and this project is %s" % (path, whose, settings.project))
    if not why:
        return
    remedy = "Move them away, or give these rows other ids."
    if others:
        remedy = (
            "Give these rows other ids, or let each project have an OPS_REMOTE_OUTPUTS_DIR of its "
            "own. If only the project's name changed, set WF_PROJECT to the earlier one."
        )
    more = len(why) - _SHOWN
    shown = "; ".join(why[:_SHOWN]) + (" and %d more" % more if more > 0 else "")
    facts = {"paths": foreign + [path for path, _ in others], "projects": dict(others)}
    raise Refusal("run-exists", shown, remedy, facts)


def owner_of(path: str) -> str:
    """The campaign that a run directory belongs to; 'unknown' if it is not recorded."""
    for name in ("summary.json", "status.json"):
        owner = _record(path, name).get("campaign_id")
        if isinstance(owner, str) and ids.is_id(owner):
            return owner
    made = re.fullmatch(r"run \S+ of (\S+)", str(_record(path, MARKER).get("what")))
    return made.group(1) if made is not None and ids.is_id(made.group(1)) else UNKNOWN


class _Run(NamedTuple):
    """A run directory of this product."""

    path: str
    result: Optional[RunResult]

    @classmethod
    def at(cls, path: str) -> Optional["_Run"]:
        """The run at `path`; None if there is none, or an empty folder."""
        if not is_our_folder(path):
            return None
        try:
            result = read_result(os.path.join(path, "summary.json"))
        except Unreadable:
            result = None
        is_own = result is not None and result.run_id == os.path.basename(path)
        return cls(path, result if is_own else None)

    @property
    def owner(self) -> str:
        return owner_of(self.path)

    @property
    def project(self) -> str:
        return str(_record(self.path, MARKER).get("project") or "")

    def refuse_while_alive(self) -> None:
        """Raise Refusal 'sweep-running' if an attempt without an end has living processes."""
        number = last_attempt(self.path)
        if self.result is not None or not number:
            return
        run_id = os.path.basename(self.path)
        alive = process.holders("%s.%s.%d" % (self.owner, run_id, number))
        if alive:
            raise Refusal(
                "sweep-running",
                "processes %s of run %s are alive" % (sorted(alive)[:_SHOWN], run_id),
                "End them on the pod, or wait until they have ended.",
                {"run_id": run_id, "campaign_id": self.owner, "pids": sorted(alive)},
            )


def _runs(places: List[str]) -> Iterator[Tuple[str, _Run]]:
    for path in places:
        run = _Run.at(path)
        if run is not None:
            yield path, run


def _is_edited(row: Row, result: RunResult) -> bool:
    # other quotes do not make another experiment
    was = (result.config, result.seed, _words(result.overrides))
    return was != (row.config, row.seed, list(row.argv))


def _words(overrides: str) -> List[str]:
    try:
        return shlex.split(overrides)
    except ValueError:
        return [overrides]


class _Now:
    """How rows would be trained now, for comparison with good results."""

    def __init__(self, settings: Settings, wish: Wish) -> None:
        self._wish = wish
        self._repository = Repository(settings.repo, StepLog(os.devnull))
        capacity = executor_of(settings).capacity()
        self._recipe = recipe.of_campaign(settings, capacity, wish.dry_run)
        self._is_same: Dict[str, bool] = dict.fromkeys((wish.git_sha, *wish.same_code), True)

    def why_other(self, row: Row, result: RunResult) -> str:
        """How a good result differs from what the row would be; '' if it does not."""
        if self._wish.adopt not in (_SAME_CODE, _SAME_COMMIT):
            return "SWEEP_ADOPT is %s" % self._wish.adopt
        why = []
        if self._wish.git_sha and not self._is_same_code(result.git_sha):
            why.append("commit %s, now %s" % (result.git_sha[:12], self._wish.git_sha[:12]))
        why += recipe.differences(recipe.of_row(self._recipe, row), result.recipe)
        return "; ".join(why)

    def _is_same_code(self, before: str) -> bool:
        if self._wish.adopt == _SAME_COMMIT:
            return before == self._wish.git_sha
        if before not in self._is_same:
            paths, now = self._wish.read_here, self._wish.git_sha
            self._is_same[before] = self._repository.is_same_code(before, now, paths)
        return self._is_same[before]


def _meant(settings: Settings, rows: List[Row], differing: List[Differing]) -> str:
    """The latest campaign if it has exactly these rows and may be meant; else ''."""
    try:
        campaign = frozen_campaign.latest(settings)
    except Refusal:
        return ""
    if campaign is None or campaign.project != settings.project:
        return ""
    has_all = {row.run_id for row in campaign.rows} >= {result.run_id for result, _ in differing}
    is_same = _experiments(campaign.rows) == _experiments(rows)
    return campaign.campaign_id if has_all and is_same else ""


def _experiments(rows: List[Row]) -> Dict[str, Row]:
    return {
        row.run_id: row._replace(index=0, overrides="", notes="", line=0, adopted_from=None)
        for row in rows
    }


def _trained_otherwise(found: List[Differing], meant: str) -> Refusal:
    alike: Dict[str, List[str]] = {}
    for result, why in found[:_SHOWN]:
        alike.setdefault(why, []).append(result.run_id)
    named = ["%s (%s)" % (", ".join(names), why) for why, names in alike.items()]
    more = " and %d more" % (len(found) - _SHOWN) if len(found) > _SHOWN else ""
    run_ids = [result.run_id for result, _ in found]
    facts: Dict[str, Any] = {
        "run_ids": run_ids,
        "why": {result.run_id: why for result, why in found},
        "seconds": round(sum(result.duration_s or 0.0 for result, _ in found), 3),
        "campaigns": sorted({result.campaign_id for result, _ in found}),
    }
    these = " ".join(run_ids) if len(run_ids) <= _SHOWN else "<run ids>"
    resume = "`--wf-sweep=resume --wf-campaign=%s`" % meant
    return Refusal(
        "run-differs",
        "%d good run%s trained otherwise: %s%s. They took %s"
        % (
            len(found),
            " was" if len(found) == 1 else "s were",
            ", ".join(named),
            more,
            clock.lasted(facts["seconds"]),
        ),
        'Set SWEEP_RETRAIN="%s" in the config to train these again, or SWEEP_FORCE=1 for all rows; '
        "the earlier runs then move to the archive. To keep them, give the rows other ids.%s"
        % (these, " If you mean that campaign, continue it with %s." % resume if meant else ""),
        facts,
    )


def _record(path: str, name: str) -> Dict[str, Any]:
    """A record of a run directory; {} if it does not exist or cannot be read."""
    try:
        return read_object(os.path.join(path, name)) or {}
    except Unreadable:
        return {}
