"""A sweep from the controller's side: start, resume, watch, and the result of each row.

The pod does the work; a sweep continues without the controller. All data
comes from the campaign on the pod, not from the present local CSV.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pytest_wf.errors import LinkLost, NotAwaited, OperationFailed, TransportError, WfError
from pytest_wf.fetch.announced_files import hostile
from pytest_wf.flow.operations.smoke import smoke
from pytest_wf.flow.operations.start_wish import wish_of
from pytest_wf.flow.readiness.start_plan import plan_line
from pytest_wf.flow.results import ArtifactNote, Result
from pytest_wf.flow.session import PodSession
from pytest_wf.project.expectations import Expectations
from pytest_wf.project.manifest import differences, unchanged
from pytest_wf.wire import assignment, fsm, operations
from pytest_wf.wire.assignment import Assignment
from pytest_wf.wire.rows import CampaignStatus, Malformed, Row, RowStatus, listed
from pytest_wf.wire.states import (
    NOT_SELECTED,
    OTHER_POD,
    PENDING,
    ROW_ENDED,
    ROW_NOT_KNOWN,
    ROW_SETTLED,
    SUPERVISOR_ALIVE,
    SUPERVISOR_ENDED,
    UNKNOWN,
)

#: Returns the ceiling on costs at the moment of a launch.
Ceiling = Callable[[], dict[str, Any]]

#: The longest that one long poll may take on the pod.
_POLL_S = 5.0
TAIL_BYTES = 16 * 1024
#: Continues the campaign; a text with it is completed where it is shown.
_AGAIN = "--wf-sweep=resume"
#: The most rows of a kind that a message names.
_SHOWN = 20


def start(
    session: PodSession,
    secrets: Mapping[str, str],
    usd_per_hour: float | None = None,
    show: Callable[[str], None] | None = None,
    shard: Shard | None = None,
    ceiling: Ceiling | None = None,
) -> Result:
    """P60 start: freeze the manifest as a new campaign and launch selected rows that are not done.

    With `--wf-smoke`, the first row is run before that in shortened form; `show` gets its news.
    `usd_per_hour` is the price of the pod, if known; no row begins beyond the `ceiling`.
    With a `shard`, nothing is launched: `launch_shard` does, once the other pods have the campaign,
    too. Raises OperationFailed('run-differs') if good results were trained differently, and
    'run-exists' if something else has the name of a run.
    """
    project = session.project
    session.hold_lease()
    assert project.manifest is not None  # load_project requires a CSV for a start
    args = {
        "flow_id": session.flow_id,
        "rows": [row.as_json() for row in project.all_rows],
        "manifest_csv": base64.b64encode(project.manifest.raw).decode("ascii"),
        "secrets": dict(secrets),
        **_launch(session),
        **(_frozen_only(shard) if shard is not None else {}),
    }
    with _costs_named(usd_per_hour):
        smoked = smoke(session, args, show) if project.options.smoke else None
        args |= _ceiling(ceiling)
        with session.idle_removal.suspended():
            answer = session.request(operations.CAMPAIGN_START, args, timeout_s=300)
    manifest = ArtifactNote("manifest", "manifest.csv", content=project.manifest.raw)
    facts = {**answer, "plan_line": plan_line(answer), **session.idle_removal.facts()}
    if smoked is None:
        return Result("sweep-start", facts, artifacts=(manifest,))
    artifacts = (manifest, *smoked.artifacts)
    return Result("sweep-start", {**facts, "smoke": smoked.facts}, artifacts=artifacts)


def _frozen_only(shard: Shard) -> dict[str, Any]:
    return {
        "campaign_id": shard.campaign_id,
        "member": shard.member,
        "assignment": assignment.as_json(shard.assignment),
        "members": list(shard.members),
        "launch": False,
    }


def launch_shard(
    session: PodSession,
    secrets: Mapping[str, str],
    ceiling: Ceiling | None,
    members: Collection[str],
) -> None:
    """Launch the campaign that `start` has frozen with a shard; no row begins beyond `ceiling`.

    `members` are those that may have the campaign.
    """
    args = {
        "flow_id": session.flow_id,
        "members": sorted(members),
        "secrets": dict(secrets),
        **_launch(session),
        **_ceiling(ceiling),
    }
    with session.idle_removal.suspended():
        session.request(operations.CAMPAIGN_RESUME, args, timeout_s=300)


@contextmanager
def _costs_named(usd_per_hour: float | None) -> Iterator[None]:
    """If the pod refuses to replace good runs, add their cost to the message."""
    try:
        yield
    except OperationFailed as e:
        if e.kind != "run-differs" or usd_per_hour is None:
            raise
        cost = float(e.facts.get("seconds") or 0.0) / 3600 * usd_per_hour
        message = f"{e.message}, at most ${cost:.2f}"
        raise OperationFailed(e.kind, message, e.remedy, e.facts) from e


def resume(
    session: PodSession, secrets: Mapping[str, str], ceiling: Ceiling | None = None
) -> Result:
    """P60 resume: attach to the pod's latest campaign, or start its supervisor again.

    No row begins beyond the `ceiling`.

    Raises OperationFailed('manifest-differs') naming the rows in which the local CSV and the
    campaign differ, and 'no-campaign' if there is none, or `--wf-campaign` names another.
    """
    session.hold_lease()
    frozen = session.request(operations.MANIFEST)
    named = session.project.options.campaign
    if named and named != (latest := frozen.get("campaign_id")):
        raise OperationFailed(
            "no-campaign",
            f"the pod's latest campaign is {latest}, not {named}.",
            f"Only the latest one can be continued: `{_AGAIN} --wf-campaign={latest}`.",
        )
    try:
        differing = differences(session.project.all_rows, listed(frozen, "rows", Row.from_json))
    except Malformed as e:
        raise hostile(f"its manifest: {e}") from None
    if any(differing.values()):
        raise _other_rows(session, str(frozen.get("campaign_id")), differing)
    args = {
        "flow_id": session.flow_id,
        "secrets": dict(secrets),
        **_launch(session),
        **_ceiling(ceiling),
    }
    with session.idle_removal.suspended():
        answer = session.request(operations.CAMPAIGN_RESUME, args, timeout_s=300)
    manifest = ArtifactNote(
        "manifest", "manifest.csv", content=base64.b64decode(frozen["csv"], validate=True)
    )
    return Result("sweep-resume", {**answer, **session.idle_removal.facts()}, artifacts=(manifest,))


def _ceiling(ceiling: Ceiling | None) -> dict[str, Any]:
    """The ceiling on costs for a launch. Raises OperationFailed('budget') if it is reached."""
    return {} if ceiling is None else {"ceiling": ceiling()}


def _launch(session: PodSession) -> dict[str, Any]:
    """The rows of a launch, and how to run them, for a start or a resume.

    With `--lf`, rows that are known to be good are left out, and rows that succeeded and
    broke an expectation are named to be trained again.
    """
    project = session.project
    asked = {
        **wish_of(session),
        "selected": project.selected,
        "fail_fast": session.config.sweep_fail_fast,
    }
    if project.options.last_failed:
        known = _last_rows(session)
        found = [(row.run_id, known.get(row.run_id)) for row in project.rows]
        wanted = [(run_id, row) for run_id, row in found if row is None or not row.ok]
        again = [run_id for run_id, row in wanted if row is not None and row.trained]
        asked["selected"] = [run_id for run_id, _ in wanted]
        asked["again"], asked["retrain"] = again, [*asked["retrain"], *again]
    return asked


def _last_rows(session: PodSession) -> dict[str, RowStatus]:
    """The rows of the pod's latest campaign that are the same experiments as the local ones.

    They are judged by their expectations.
    """
    status = Sweep(session).status(fresh=True)
    if status is None:
        return {}
    frozen = session.request(operations.MANIFEST, {"campaign_id": status.campaign_id})
    try:
        same = unchanged(session.project.rows, listed(frozen, "rows", Row.from_json))
    except Malformed as e:
        raise hostile(f"its manifest: {e}") from None
    return {row.run_id: row for row in status.rows if row.run_id in same}


def stop(session: PodSession) -> Result:
    """Stop the running campaign: its supervisor and every process of its rows."""
    session.hold_lease()
    answer = session.request(operations.CAMPAIGN_STOP, timeout_s=300)
    session.idle_removal.try_schedule()
    return Result("sweep-stop", {**answer, **session.idle_removal.facts()})


def status_of(session: PodSession, args: Mapping[str, Any] | None = None) -> CampaignStatus:
    """The status of the pod's latest campaign, or as requested by the operation's `args`.

    Raises OperationFailed: 'no-campaign', and 'hostile-answer' for an invalid status.
    """
    args = args or {"wait_s": 0}
    return status_in(session.request(operations.CAMPAIGN, args, timeout_s=60 + args["wait_s"]))


def status_in(answer: Mapping[str, Any]) -> CampaignStatus:
    """The status of a campaign in an answer. Raises OperationFailed('hostile-answer')."""
    try:
        return CampaignStatus.from_json(answer)
    except Malformed as e:
        raise hostile(f"its status: {e}") from None


class Shard(NamedTuple):
    """A member's part of a campaign that several pods share."""

    campaign_id: str
    #: The member's own name.
    member: str
    #: The owners of all rows.
    assignment: Assignment
    #: The names of all members that freeze the campaign.
    members: Sequence[str]


class Sweep:
    """The latest status of the campaign on the pod, with its rows judged by their expectations.

    One status answer serves all its rows.
    """

    def __init__(
        self,
        session: PodSession,
        campaign_id: str | None = None,
        on_status: Callable[[CampaignStatus], None] | None = None,
        deselected: Collection[str] = (),
    ) -> None:
        self._session = session
        #: Rows that are not waited for.
        self._deselected = frozenset(deselected)
        #: The expectations of rows' metrics.
        self.expectations = Expectations(session.config.wf_expect, session.project.baseline)
        self._asked_for = campaign_id
        #: Called with every received status.
        self._on_status = on_status
        #: Called between two polls while the flow waits for rows.
        self.meanwhile: Callable[[], None] = lambda: None
        #: The campaign's rows, if the caller knows them: the pod then leaves out those of other
        #: pods.
        self.all_rows: Collection[str] = ()
        self._status: CampaignStatus | None = None
        self._by_run: dict[str, RowStatus] = {}
        self.polls = 0

    @property
    def campaign_id(self) -> str | None:
        """Id of the campaign; None if the pod has none."""
        status = self.status()
        return None if status is None else status.campaign_id

    @property
    def last_rows(self) -> list[RowStatus]:
        """The latest status of the rows, in the order of the manifest; no contact."""
        self._forget_open_rows()
        return list(self._by_run.values())

    def last_row(self, run_id: str) -> RowStatus | None:
        """The latest status of a row; None if it has none. No contact."""
        self._forget_open_rows()
        return self._by_run.get(run_id)

    def owner_of(self, _run_id: str) -> str:
        """The member whose pod has a row: none, as there is one pod."""
        return ""

    def status(self, *, fresh: bool = False) -> CampaignStatus | None:
        """The campaign's status; None if the pod has no campaign.

        Raises OperationFailed or TransportError if it cannot be received: then it is unknown.
        """
        if fresh or self._status is None:
            self._refresh(wait_s=0)
        return self._status

    def row(self, run_id: str) -> RowStatus | None:
        """The last known state of one row; None if it is not in the campaign."""
        self.status()
        return self._by_run.get(run_id)

    @property
    def last_status(self) -> CampaignStatus | None:
        """The latest received status; no contact."""
        return self._status

    def try_refresh(self, within_s: float) -> None:
        """Update the status if the pod answers soon; otherwise keep the latest one."""
        try:
            with self._session.patience.limited(within_s):
                self._refresh(wait_s=0)
        except (WfError, TimeoutError, OSError):
            pass  # a caller that needs the answer asks again, and waits for it

    def observe(self, on_status: Callable[[CampaignStatus], None]) -> None:
        """Call `on_status`, in place of the one before, with every received status."""
        self._on_status = on_status

    def follow(self, run_id: str, *, wait: bool) -> RowStatus:
        """Wait until the row has ended, and return its final status.

        With `wait` False, check once: a row that has not ended raises `NotAwaited`.
        Raises OperationFailed('budget') for a row that does not begin as WF_MAX_USD is reached,
        'sweep-stopped' if the user has stopped the campaign,
        'sweep-stalled' if nothing on the pod works on it any more,
        and 'wait-exhausted' after WF_FLOW_WAIT_MAX_POLLS polls; LinkLost if the pod is lost.
        """
        try:
            row = self._require(run_id)
            while row.state not in ROW_ENDED:
                if row.state == NOT_SELECTED:
                    raise NotAwaited("not selected: no launch of the campaign has taken it")
                if row.state == OTHER_POD:
                    raise NotAwaited(f"not trained by this pod: {row.reason}")
                self._require_money(row)
                if not wait:
                    raise NotAwaited(_why_open(row, self._patient_status()))
                self._require_progress(f"row {run_id} is {row.state}")
                self._patient_refresh()
                row = self._require(run_id)
            return row
        except TransportError as e:
            lost = self._session.patience.lost
            if not lost:
                raise
            raise LinkLost(
                f"row {run_id} is unknown: {lost}",
                "It may still train; use `--wf-sweep=resume` when the pod answers again.",
            ) from e

    def follow_all(self) -> CampaignStatus:
        """Wait until every selected row has ended, and return the campaign's status."""
        status = self._patient_status()
        while (open_rows := self._open_rows(status)) and not _is_over(status):
            self._require_progress(f"{len(open_rows)} rows have not ended")
            status = self._patient_refresh()
        return status

    def wait_for_news(self, run_id: str) -> None:
        """Wait until something in the campaign has changed, or one poll's time is over.

        Raises OperationFailed as `follow` does if nothing works on row `run_id` any more.
        """
        self._require_progress(f"row {run_id} is {self._require(run_id).state}")
        self._patient_refresh()

    def tail(self, run_id: str, max_bytes: int = TAIL_BYTES) -> str:
        """The end of a row's log; empty if it has none or it cannot be read."""
        try:
            piece = self._session.request(
                operations.LOG, {"run_id": run_id, "offset": -max_bytes, "max_bytes": max_bytes}
            )
            return base64.b64decode(piece["data"]).decode("utf-8", "replace")
        except (WfError, OSError, LookupError, TypeError, ValueError):
            return ""  # a missing log must not hide the row's known end

    def _open_rows(self, status: CampaignStatus) -> list[str]:
        open_rows = [row.run_id for row in status.rows if row.state not in ROW_SETTLED]
        return [run_id for run_id in open_rows if run_id not in self._deselected]

    def _require(self, run_id: str) -> RowStatus:
        row = self.row(run_id)
        if row is None and run_id in self.all_rows:
            raise NotAwaited("not trained by this pod")
        if row is None:
            raise OperationFailed(
                "no-such-run",
                f"the campaign on the pod has no row {run_id!r}.",
                "Look at `wf sweep-status`; start a campaign with `--wf-sweep=start`.",
            )
        return row

    def _require_money(self, row: RowStatus) -> None:
        """Raise OperationFailed('budget') for a row that does not begin as it costs too much."""
        ceiling = self._patient_status().ceiling
        if ceiling and row.state == PENDING:
            raise OperationFailed(
                "budget",
                f"row {row.run_id} was not begun: {ceiling} is reached.",
                f"Raise WF_MAX_USD, and continue with `{_AGAIN}`.",
            )

    def _require_progress(self, what: str) -> None:
        status = self._patient_status()
        if status.stopped and not status.in_progress:
            raise OperationFailed(
                "sweep-stopped",
                f"{what}, and the user has stopped campaign {status.campaign_id}.",
                f"Continue it with `{_AGAIN}`.",
            )
        is_idle = status.supervisor != SUPERVISOR_ALIVE and not status.in_progress
        if is_idle or status.state == fsm.SWEEP_STALLED:
            why = f": {status.reason}" if status.state == fsm.SWEEP_STALLED else ""
            raise OperationFailed(
                "sweep-stalled",
                f"{what}, and nothing on the pod works on campaign {status.campaign_id}{why}.",
                f"Start it again with `{_AGAIN}`.",
            )
        limit = self._session.config.wf_flow_wait_max_polls
        if limit and self.polls >= limit:
            raise OperationFailed(
                "wait-exhausted",
                f"{what} after {self.polls} polls (WF_FLOW_WAIT_MAX_POLLS); the sweep continues.",
                f"Attach again with `{_AGAIN} --wf-wait=true`.",
            )

    def _patient_status(self) -> CampaignStatus:
        status = self.status()
        if status is None:
            raise OperationFailed(
                "no-campaign",
                "the pod has no campaign.",
                "Start one with `--wf-sweep=start`.",
            )
        return status

    def _patient_refresh(self) -> CampaignStatus:
        """Long-poll until there is news, or an interval is over; the session's patience applies."""
        interval = float(self._session.config.wf_flow_wait_interval_secs)
        self.polls += 1
        until = time.monotonic() + interval
        before = self._patient_status().seen
        while True:
            try:
                self._refresh(wait_s=min(_POLL_S, interval))
            except OperationFailed as e:
                # a pod that answers too slowly is as unknown as one that does not answer
                if e.kind != "timeout" or self._session.patience.is_over:
                    raise
                continue
            self.meanwhile()
            status = self._patient_status()
            if status.seen != before or time.monotonic() >= until:
                return status

    def _forget_open_rows(self) -> None:
        """For a lost pod, keep only the rows that had ended or were not selected as known."""
        lost = self._session.patience.lost
        if not lost:
            return
        of_csv = self._session.project.rows
        seen = self._by_run.values() or [RowStatus(r.run_id, UNKNOWN, r.index) for r in of_csv]
        rows = [
            row if row.state in ROW_SETTLED else row._replace(state=UNKNOWN, reason=lost, live=None)
            for row in seen
        ]
        self._by_run = {row.run_id: row for row in rows}
        if self._status is not None:
            # without a version, so that the next answer has all rows
            self._status = self._status._replace(rows=rows, seen="")

    def _refresh(self, wait_s: float) -> None:
        args: dict[str, Any] = {"wait_s": wait_s, "changes": True}
        if self.all_rows:
            args["own"] = True
        if self._asked_for:
            args["campaign_id"] = self._asked_for
        if self._status is not None:
            args["seen"] = self._status.seen
        try:
            answer = self.expectations.judge_all(status_of(self._session, args))
        except OperationFailed as e:
            if e.kind != "no-campaign":
                raise
            self._status, self._by_run = None, {}
            return
        changed = {row.run_id: row for row in answer.rows}
        status = self._whole(answer, changed) if answer.since else answer
        if self._asked_for is None:
            self._asked_for = status.campaign_id
        self._status = status
        self._by_run = {**self._by_run, **changed} if answer.since else changed
        if status.ceiling:
            self._status = status = _with_reasons(status)
            self._by_run = {row.run_id: row for row in status.rows}
        if self._on_status is not None:
            self._on_status(status)

    def _whole(self, answer: CampaignStatus, changed: Mapping[str, RowStatus]) -> CampaignStatus:
        """The status with all rows, from an answer with only those that `changed`."""
        before = self._status
        if (
            before is None
            or answer.since != before.seen
            or any(i not in self._by_run and i not in self.all_rows for i in changed)
        ):
            raise hostile("its status has changes of rows that are not the campaign's")
        rows = {**self._by_run, **changed}
        return answer._replace(rows=list(rows.values()), since="")


def _other_rows(
    session: PodSession, campaign: str, differing: Mapping[str, list[str]]
) -> OperationFailed:
    """The refusal of a resume with a different CSV; it says how to train those rows."""
    is_running = session.state()["state"] == fsm.SWEEP_RUNNING
    first = "Wait for its end with `wf sweep-watch`, or end it with `wf sweep-stop`; then continue"
    return OperationFailed(
        "sweep-running" if is_running else "manifest-differs",
        f"the local CSV is not that of campaign {campaign}"
        f"{', which is running' if is_running else ''}: {_named(differing)}.",
        f"{first if is_running else 'Continue'} with `--wf-sweep=start`, which keeps the good "
        "results of unchanged rows, or restore the CSV.",
        {"differences": differing},
    )


def _named(differing: Mapping[str, list[str]]) -> str:
    """Added, removed and edited rows, the first of each."""
    return "; ".join(
        f"{what}: {', '.join(rows[:_SHOWN])}"
        + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
        for what, rows in differing.items()
        if rows
    )


def _why_open(row: RowStatus, status: CampaignStatus) -> str:
    """Why a row has not ended, for a flow that does not wait for it."""
    if row.state in ROW_NOT_KNOWN:
        return f"its end is not known: {row.state}" + (f" ({row.reason})" if row.reason else "")
    if row.state == PENDING and status.stopped:
        return f"not begun: the user has stopped the sweep; continue with `{_AGAIN}`"
    return f"launched, not awaited ({row.state}); attach again with `{_AGAIN} --wf-wait=true`"


def _with_reasons(status: CampaignStatus) -> CampaignStatus:
    """The status, with a reason on rows that do not begin because a ceiling is reached."""
    why = f"not begun: {status.ceiling} is reached"
    rows = [row._replace(reason=why) if row.state == PENDING else row for row in status.rows]
    return status._replace(rows=rows)


def _is_over(status: CampaignStatus) -> bool:
    """Whether the pod says that the campaign has ended, whatever states its rows have."""
    return status.supervisor == SUPERVISOR_ENDED and not status.in_progress
