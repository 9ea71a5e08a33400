"""A row's directory: its attempts, how each one ended, and how the row itself ended.

pytest-wf writes here, and the trainer only into ``out/``, which it may empty or replace.
``attempts/<n>/result.json`` ends an attempt and ``summary.json`` ends the row: each is written
whole or not at all, and nothing has ended before. When a resume runs an ended row again, its
summary moves to the attempt that it judged, and the numbers of attempts go on.
"""

import os
import stat
from typing import Any, Dict, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import recipe
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.results.logs import last_attempt
from pytest_wf.agent.run.executor import Handle, executor_of
from pytest_wf.wire.files import BadJson, read_json, remove_file, write_json
from pytest_wf.wire.ownership import is_our_folder, mark
from pytest_wf.wire.rows import Malformed, Row, RunResult, extremes_in, notes_in, sources_in
from pytest_wf.wire.states import DRY_RUN, SUCCESS

#: What a row's summary and the result of its last attempt have in common.
JUDGED = (
    "state",
    "exit_code",
    "failure_class",
    "reason",
    "started_at",
    "finished_at",
    "duration_s",
    "metrics",
    "extremes",
    "sources",
    "gpus",
    "resumed_from",
    "notes",
)


HARMED = "the trainer removed or replaced files of the run directory that are not its own"


class Unreadable(Exception):
    """A file of a row exists and cannot be read: neither success nor failure."""


class RowDir:
    """The directory of one row of one campaign."""

    def __init__(self, campaign: Campaign, row: Row) -> None:
        self.campaign = campaign
        self.row = row
        self.path = campaign.settings.run_dir(row.run_id)

    @property
    def made(self) -> str:
        """Its description in the record `made.json`; `existing_runs` reads it."""
        return "run %s of %s" % (self.row.run_id, self.campaign.campaign_id)

    @property
    def gpus(self) -> int:
        """How many GPUs an attempt asks for; 0 for the executor's default."""
        return self.row.gpus or self.campaign.settings.int("GPUS_PER_RUN")

    @property
    def timeout_s(self) -> int:
        """How long an attempt may take, in seconds; 0 for no limit."""
        own = self.row.timeout_s
        return self.campaign.settings.int("RUN_TIMEOUT_SECS") if own is None else own

    @property
    def retries(self) -> int:
        """How often the row is tried again after a failure that allows it."""
        own = self.row.retries
        return self.campaign.settings.int("RUN_RETRIES") if own is None else own

    @property
    def summary_path(self) -> str:
        """Path of the row's summary, which exists when the row has ended."""
        return os.path.join(self.path, "summary.json")

    @property
    def metrics_path(self) -> str:
        """Path of the record of the run's metrics."""
        return os.path.join(self.path, "metrics.jsonl")

    @property
    def last(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return last_attempt(self.path)

    def attempt(self, number: int, name: str = "") -> str:
        """The directory of an attempt, or the file `name` in it."""
        return os.path.join(self.path, "attempts", str(number), name).rstrip("/")

    def cookie(self, number: int) -> str:
        """The cookie that all processes of an attempt carry in their environment."""
        return "%s.%s.%d" % (self.campaign.campaign_id, self.row.run_id, number)

    def result(self, number: int) -> Optional[Dict[str, Any]]:
        """How the attempt ended; None while it has not. Raises Unreadable."""
        return read_object(self.attempt(number, "result.json"))

    def handle(self, number: int) -> Optional[Handle]:
        """The executor's handle on the attempt's runner; None if none was recorded."""
        try:
            return read_object(self.attempt(number, "pid.json"))
        except Unreadable:
            return None

    def runner_lives(self, number: int) -> bool:
        """Whether the attempt's runner is alive, according to its executor.

        If its handle cannot be read: whether processes carry the attempt's cookie.
        """
        try:
            handle = read_object(self.attempt(number, "pid.json")) if number else None
        except Unreadable:
            return bool(process.holders(self.cookie(number)))
        return handle is not None and executor_of(self.campaign.settings).is_alive(handle)

    def is_judged(self, number: int) -> bool:
        """Whether an earlier round of the row ended with this attempt."""
        return os.path.exists(self.attempt(number, "summary.json"))

    def tries(self, number: int) -> int:
        """How many attempts the current round has had, up to `number`."""
        first = number
        while first > 1 and not self.is_judged(first - 1):
            first -= 1
        return number - first + 1

    def summary(self) -> Optional[RunResult]:
        """How the row ended in this campaign; None while it has not. Raises Unreadable."""
        return read_result(self.summary_path, self.campaign.campaign_id)

    def is_at_rest(self, summary: RunResult) -> bool:
        """Whether no process writes the row's files any more, now that it has `summary`.

        A runner ends its own good row, and writes its result after that: a fetch in between would
        see files change.
        """
        number = summary.attempts
        return os.path.exists(self.attempt(number, "result.json")) or not self.runner_lives(number)

    def restore(self, number: int) -> bool:
        """Restore what attempt `number` needs to be ended; whether anything was damaged.

        A trainer may have removed the run directory, locked it, or replaced files by folders.
        """
        folder = self.attempt(number)
        was_locked = [_unlock(path) for path in (self.path, os.path.dirname(folder), folder)]
        files = [os.path.join(self.path, name) for name in ("summary.json", "status.json")]
        blocked = [path for path in files if _is_dir(path)]
        harmed = any(was_locked) or bool(blocked) or not os.path.isdir(folder)
        os.makedirs(folder, exist_ok=True)
        if not is_our_folder(self.path):
            mark(self.path, self.made, self.campaign.project)
        for path in blocked:
            os.rename(path, "%s.%s" % (path, os.urandom(4).hex()))
        return harmed

    def end(self, result: Dict[str, Any]) -> RunResult:
        """Write the row's summary from its last attempt's result, unless that is done.

        A runner ends its own good row; its supervisor must not touch a file that may be fetched by
        then.
        """
        body = summary_of(self.campaign, self.row, result)
        try:
            is_written = self.summary() == body
        except Unreadable:
            is_written = False
        if not is_written:
            write_json(self.summary_path, body.as_json())
        return body

    def file_summary(self, result: Dict[str, Any]) -> None:
        """End the present round with attempt `result`, so that the row is run again."""
        number = int(result["attempt"])
        body = summary_of(self.campaign, self.row, result)
        write_json(self.attempt(number, "summary.json"), body.as_json())
        remove_file(self.summary_path)


def _unlock(path: str) -> bool:
    """Give the owner access to the folder `path`; whether it was missing and could be given."""
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode) or mode & stat.S_IRWXU == stat.S_IRWXU:
            return False
        os.chmod(path, stat.S_IMODE(mode) | stat.S_IRWXU)
    except OSError:
        return False
    return True


def _is_dir(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def summary_of(campaign: Campaign, row: Row, result: Dict[str, Any]) -> RunResult:
    """A row's summary, from the result of the attempt that ended it."""
    state = str(result["state"])
    known: Dict[str, Any] = {key: result.get(key) for key in JUDGED}
    known.update(
        state=state,
        metrics=result.get("metrics") or {},
        extremes=extremes_in(result),
        sources=sources_in(result),
        notes=notes_in(result),
    )
    return RunResult(
        run_id=row.run_id,
        ok=state == SUCCESS,
        attempts=result["attempt"],
        campaign_id=campaign.campaign_id,
        git_sha=campaign.git_sha,
        config=row.config,
        seed=row.seed,
        overrides=row.overrides,
        dry_run=state == DRY_RUN,
        project=campaign.project,
        recipe=recipe.of_row(campaign.recipe, row),
        **known,
    )


def read_result(path: str, campaign_id: Optional[str] = None) -> Optional[RunResult]:
    """The result of a row in a file, of any campaign or of `campaign_id`. Raises Unreadable.

    None if there is no file, or one that another campaign wrote. A result of `campaign_id` must
    be of the run whose directory it is in.
    """
    found = read_object(path)
    if found is None or campaign_id not in (None, found.get("campaign_id")):
        return None
    try:
        result = RunResult.from_json(found)
    except Malformed as e:
        raise Unreadable("%s: %s" % (path, e)) from None
    if campaign_id is not None and result.run_id != os.path.basename(os.path.dirname(path)):
        raise Unreadable("%s is of run %s" % (path, result.run_id))
    return result


def read_object(path: str) -> Optional[Dict[str, Any]]:
    """The JSON object in a file; None if there is no file. Raises Unreadable."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise Unreadable("%s is not a regular file" % path)
        found = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise Unreadable("%s cannot be read: %s" % (path, e.strerror)) from None
    except BadJson as e:
        raise Unreadable("%s cannot be read: %s" % (path, e)) from None
    if not isinstance(found, dict):
        raise Unreadable("%s holds no JSON object" % path)
    return found
