"""The supervisor of a campaign: runs its rows, in their order, to the end.

A process in a session of its own that needs no controller, no link and no tmux. It holds the
campaign's lock while it lives, so that there is never a second one. As many rows run as the
executor has room for. Its state is on disk: if it is killed, at any instruction, the next
supervisor adopts the runners that are alive, judges how the others ended, and goes on.
"""

import os
import sys
import time
from collections import deque
from typing import Any, BinaryIO, Deque, Dict, List, Optional, Sequence

from pytest_wf.agent import process, programs
from pytest_wf.agent.control import (
    created_paths,
    frozen_campaign,
    launches,
    locks,
    shard,
    state,
)
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run.executor import Handle, Share, executor_of
from pytest_wf.agent.run.run_dir import RowDir, Unreadable
from pytest_wf.agent.sweep import retry, snapshot, tmux
from pytest_wf.agent.sweep.rows import attempts, changed_rows
from pytest_wf.agent.sweep.sharing import claims
from pytest_wf.agent.sweep.supervisor_record import SupervisorRecord
from pytest_wf.agent.wakeup import Wakeup
from pytest_wf.wire import fsm
from pytest_wf.wire.files import parse_json, write_atomic
from pytest_wf.wire.messages import MAX_LINE_BYTES, Refusal
from pytest_wf.wire.ownership import NotOurs, make_folder
from pytest_wf.wire.rows import Row, RunResult
from pytest_wf.wire.states import STOPPED, SUCCESS

#: The longest reason that is given for rows that cannot go on.
MAX_REASON_CHARS = 2000
#: Errors of the directory of one row, which do not keep the others from running.
OF_ONE_ROW = (FileExistsError, IsADirectoryError, NotADirectoryError, NotOurs, PermissionError)
#: The longest time that a supervisor waits for the lock of one that has ended.
LOCK_S = 10.0


class QueuedRow:
    """A row, the attempt that it is at, and the handle on that attempt's runner."""

    def __init__(self, here: RowDir) -> None:
        self.here = here
        #: Whether the launch takes it; a row of an earlier launch only ends the attempt that it has
        #: begun.
        self.is_selected = True
        self.number = here.last
        self.handle: Optional[Handle] = here.handle(here.last) if here.last else None
        #: Monotonic time before which nothing more is done for it.
        self.not_before = 0.0
        #: The result of its last attempt, if it is to be tried again.
        self.result: Optional[Dict[str, Any]] = None
        self.is_stop_requested = False

    @property
    def run_id(self) -> str:
        """The row's id."""
        return self.here.row.run_id


def queue_main(words: List[str], stdin: BinaryIO) -> int:
    """``queue DIR``: 0 when the campaign in DIR ended, or has another supervisor."""
    if len(words) != 1:
        print("queue takes the directory of a campaign", file=sys.stderr)
        return 2
    programs.load("attempt")  # also for the case that the agent's file is gone later
    told = parse_json(stdin.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
    return Supervisor(frozen_campaign.load(words[0]), dict(told["secrets"])).run()


class Supervisor:
    """Runs the rows of one campaign."""

    def __init__(
        self,
        campaign: Campaign,
        secrets: Dict[str, str],
        backoff_s: Sequence[float] = retry.BACKOFF_S,
    ) -> None:
        self._campaign = campaign
        self._settings = campaign.settings
        self._secrets = secrets
        self._backoff_s = backoff_s
        self._executor = executor_of(campaign.settings)
        self._launch = launches.newest(campaign)
        self._waiting: Deque[QueuedRow] = deque()
        self._retrying: List[QueuedRow] = []
        self._running: List[QueuedRow] = []
        #: This pod's rows when they were queued last.
        self._own: Optional[List[Row]] = None
        #: Rows that cannot go on and have not ended: the reason by the row's id.
        self._blocked: Dict[str, str] = {}
        #: Why no further row begins; None while rows may begin.
        self._halt: Optional[str] = None
        self._record = SupervisorRecord(campaign)
        self._log = self._record.log

    def run(self) -> int:
        """Work until every row has ended or nothing more can run, and write the end."""
        lock = self._lock()
        if lock is None:
            return 0
        try:
            try:
                self._announce()
            except OSError as e:
                self._log("the supervisor cannot begin: %s" % e)
                return 1
            # after tmux, whose server is not a descendant of this process
            process.become_subreaper()
            try:
                halt = self.run_rows()
            except (OSError, Refusal, Unreadable) as e:
                self._log("stopped: %s" % e)
                halt = "the supervisor stopped: %s" % e
            tmux.close_window(self._campaign)
            self._finish(halt)
        finally:
            os.close(lock)
        return 0

    def _lock(self) -> Optional[int]:
        """The campaign's lock; None if another supervisor works on the campaign.

        A supervisor that has written its end holds the lock for a moment more.
        """
        path = self._campaign.supervisor_lock
        deadline = time.monotonic() + LOCK_S
        lock = locks.try_lock(path)
        while lock is None and time.monotonic() < deadline:
            if process.is_alive(frozen_campaign.supervisor_of(self._campaign)):
                return None
            time.sleep(0.02)
            lock = locks.try_lock(path)
        return lock

    def _announce(self) -> None:
        """Open the campaign's window and record that this process works on it."""
        window = None
        try:
            window = tmux.open_window(self._campaign)
            if window is None:
                self._log("tmux is not available: the sweep has no window")
        except OSError as e:
            self._log("live.log cannot be created: %s" % e)
        self._record.begin(self._launch.number, window)

    def _finish(self, halt: Optional[str]) -> None:
        """Write how it ended: the pod's state first, then supervisor.json."""
        if halt is None:
            to, reason = snapshot.rest(self._campaign, self._own)
        else:
            to, reason = fsm.SWEEP_STALLED, halt
        self._log(reason)
        try:
            if to == fsm.SWEEP_STALLED and snapshot.take(self._campaign).running:
                # the next status, once they have ended, changes the state
                self._log("runs continue without a supervisor; the pod stays SWEEP_RUNNING")
            else:
                state.move(self._settings, "sweep-end", to, reason, self._campaign.flow_id)
        except (Refusal, OSError) as e:
            self._log("the pod's state is not changed: %s" % e)
        self._record.end(to, reason)

    # ---- the loop ----------------------------------------------------------------------------

    def run_rows(self) -> Optional[str]:
        """Run every row of the launch to its end; the reason if that is not possible."""
        if self._campaign.dry_run:
            return self._dry_run_all()
        self._queue_rows()
        wakeup = Wakeup()
        try:
            while not self._go_on():
                wakeup.wait(self._pause_s())
        finally:
            wakeup.close()
        return self._halt or self._halt_of_blocked()

    def _go_on(self) -> bool:
        """Do all that can be done now; whether nothing runs and nothing will."""
        self._record.beat()
        if self._is_stopped():
            self._stop()
        self._take_further_launch()
        self._poll()
        for queued in list(self._running):
            try:
                self._check(queued)
            except OF_ONE_ROW as e:
                if not self._is_alive(queued):  # a runner repairs its own directory
                    self._block(queued, e)
            if queued not in self._running:
                changed_rows.name_row(self._campaign, queued.run_id)
        self._poll()
        self._begin_what_fits()
        return not self._running and (
            self._halt is not None or not (self._waiting or self._retrying)
        )

    def _pause_s(self) -> float:
        """How long this process can wait, if nothing wakes it."""
        now = time.monotonic()
        at = [queued.not_before for queued in self._retrying if queued.not_before > now]
        return min([self._executor.look_s(), self._record.beat_at - now] + [t - now for t in at])

    def _poll(self) -> None:
        """Let the executor update what it knows of the attempts under way."""
        process.reap()
        self._executor.poll(self._handles())

    def _handles(self) -> List[Handle]:
        return [queued.handle for queued in self._running if queued.handle]

    def _dry_run_all(self) -> Optional[str]:
        for row in self._launch.rows(shard.rows(self._campaign)):
            here = RowDir(self._campaign, row)
            if row.adopted_from or here.summary() is not None:
                continue
            if self._is_stopped():
                return "stopped by the user"
            try:
                self._make_dir(here)
                attempts.dry_run(self._executor, here)
            except claims.Moved as e:
                self._log(str(e))
        return None

    # ---- rows that wait ----------------------------------------------------------------------

    def _queue_rows(self) -> None:
        """Sort the rows that have not ended into those that run and those that wait."""
        self._own = shard.rows(self._campaign)
        rows = self._launch.rows(self._own)
        self._queue([row for row in rows if not row.adopted_from])
        known = {row.run_id for row in rows}
        for here, _ in snapshot.take(self._campaign).running:
            if here.row.run_id not in known:
                queued = QueuedRow(here)
                queued.is_selected = False
                self._running.append(queued)

    def _queue(self, rows: List[Row]) -> None:
        for row in rows:
            queued = QueuedRow(RowDir(self._campaign, row))
            summary = queued.here.summary()
            if summary is not None:
                self._apply_fail_fast(queued, summary)
            elif queued.number and not queued.here.is_judged(queued.number):
                # begun by a supervisor that is gone: wait for it, or record its death
                self._running.append(queued)
            else:
                self._waiting.append(queued)

    def _take_further_launch(self) -> None:
        """Queue the rows of a launch that was recorded since, and acknowledge it.

        A halted supervisor takes no more: it ends, and then another one may be started.
        """
        number = launches.last_number(self._campaign)
        if self._halt is not None or number <= self._launch.number:
            return
        self._launch = launches.newest(self._campaign)
        self._own = shard.rows(self._campaign)
        rows = [row for row in self._launch.rows(self._own) if not row.adopted_from]
        running = {queued.run_id: queued for queued in self._running}
        for row in rows:
            if row.run_id in running:
                running[row.run_id].is_selected = True
        queued = {one.run_id for one in (*self._running, *self._waiting, *self._retrying)}
        self._queue([row for row in rows if row.run_id not in queued])
        self._log("launch %d: %d rows are taken on" % (number, len(rows)))
        self._record.update(launch=number)

    def _begin_what_fits(self) -> None:
        """Begin rows in their order, those that are tried again first; none overtakes another.

        A row that needs many GPUs would wait for ever if smaller ones took them all.
        """
        while self._halt is None:
            now = time.monotonic()
            rested = [queued for queued in self._retrying if queued.not_before <= now]
            if not (rested or self._waiting) or self._is_too_dear():
                return
            queued = rested[0] if rested else self._waiting[0]
            try:
                if not self._start(queued):
                    return
                self._running.append(queued)
            except claims.Moved as e:
                self._log(str(e))
            except OF_ONE_ROW as e:
                self._block(queued, e)
            if rested:
                self._retrying.remove(queued)
            else:
                self._waiting.popleft()

    def _start(self, queued: QueuedRow) -> bool:
        """Start the runner of a new attempt and record its handle, which lets it begin."""
        here, number = queued.here, queued.number + 1
        capacity = self._executor.capacity()
        if here.gpus > max(1, capacity):
            needs = (queued.run_id, here.gpus, capacity)
            self._halt = "row %s needs %d GPUs and the pod has %d" % needs
            return False
        handle = attempts.begin(
            self._executor,
            here,
            number,
            self._secrets,
            self._campaign.log_path,
            lambda share: self._prepare(here, number, share),
        )
        if handle is None:
            self._note_wait(queued)
            return False
        queued.number, queued.handle = number, handle
        # after the handle: a full disk must not end the attempt
        self._note_wait(queued)
        changed_rows.name_row(self._campaign, queued.run_id)
        return True

    def _prepare(self, here: RowDir, number: int, share: Share) -> None:
        """Create the directory of an attempt that is about to start, and show its log."""
        self._make_dir(here)
        os.makedirs(here.attempt(number))
        self._show_log(here.attempt(number, "stdout.log"))
        on = " on GPU %s" % ",".join(share.names) if share.names else ""
        self._log("row %s, attempt %d%s" % (here.row.run_id, number, on))

    def _make_dir(self, here: RowDir) -> None:
        """Make the directory of a row that is about to begin. Raises Moved."""
        claims.begin(self._campaign, here.row.run_id)
        if not os.path.isdir(here.path):
            created_paths.cover(self._settings, here.path)
        make_folder(here.path, here.made, self._campaign.project)

    def _show_log(self, log: str) -> None:
        try:
            tmux.show(self._campaign, log)
        except OSError as e:
            self._log("live.log cannot be updated: %s" % e)

    def _note_wait(self, queued: QueuedRow) -> None:
        """Record for the campaign's status what the next row waits for."""
        waits = "waits for %s" % self._executor.waits_for if self._executor.waits_for else None
        if waits != self._record.waits:
            self._log("row %s %s" % (queued.run_id, waits) if waits else "GPUs are free")
            self._record.update(waits=waits)

    # ---- rows that run, and their ends -------------------------------------------------------

    def _check(self, queued: QueuedRow) -> None:
        """Handle the end of an attempt, if it has ended."""
        result = self._ended(queued)
        if result is None:
            return
        here, number = queued.here, queued.number
        why = " (%s)" % result["reason"] if result.get("reason") else ""
        self._log("row %s, attempt %d: %s%s" % (queued.run_id, number, result["state"], why))
        self._running.remove(queued)
        if result.get("left"):
            here.end(result)
            # its GPUs are not free, and nothing else may begin on a pod in this state
            left = (result["left"], queued.run_id)
            self._halt = self._halt or "processes %s of row %s could not be ended" % left
        elif self._is_tried_again(queued, result):
            self._retry(queued, result)
        else:
            self._apply_fail_fast(queued, here.end(result))

    def _ended(self, queued: QueuedRow) -> Optional[Dict[str, Any]]:
        """The result of an attempt; None while it runs. A runner that is gone without a result
        gets one.
        """
        # checked in this order: a runner that ends in between has written its result
        alive = self._is_alive(queued)
        result = self._result(queued.here, queued.number)
        if result is not None or alive:
            return result
        return attempts.record_dead(self._executor, queued.here, queued.number, queued.handle)

    def _is_alive(self, queued: QueuedRow) -> bool:
        return queued.handle is not None and self._executor.is_alive(queued.handle)

    def _result(self, here: RowDir, number: int) -> Optional[Dict[str, Any]]:
        try:
            return here.result(number)
        except Unreadable as e:
            # not known to be good, and another look would not change that
            os.replace(
                here.attempt(number, "result.json"), here.attempt(number, "result.unreadable")
            )
            self._log("row %s, attempt %d: %s" % (here.row.run_id, number, e))
            return None

    def _is_tried_again(self, queued: QueuedRow, result: Dict[str, Any]) -> bool:
        if self._halt is not None or not queued.is_selected:
            return False
        tries = queued.here.tries(queued.number)
        return retry.should_retry(self._settings, result, tries, queued.here.retries)

    def _retry(self, queued: QueuedRow, result: Dict[str, Any]) -> None:
        """Let a row wait for its next attempt."""
        wait_s = retry.wait_s(queued.here.tries(queued.number), self._backoff_s)
        self._log("row %s: next try in %g s" % (queued.run_id, wait_s))
        queued.not_before = time.monotonic() + wait_s
        queued.result = result
        self._retrying.append(queued)

    def _block(self, queued: QueuedRow, why: Exception) -> None:
        """Set a row aside whose directory cannot be used; the others go on."""
        self._log("row %s cannot go on: %s" % (queued.run_id, why))
        self._blocked[queued.run_id] = str(why)
        if queued in self._running:
            self._running.remove(queued)

    # ---- why no further row begins -----------------------------------------------------------

    def _apply_fail_fast(self, queued: QueuedRow, summary: RunResult) -> None:
        """Halt if a row's end requires it: rows under way go on, no further one begins."""
        if self._halt is not None:
            return
        if summary.state == STOPPED:
            self._halt = "stopped by the user"
        elif summary.state != SUCCESS and self._launch.fail_fast:
            self._halt = "row %s failed, and SWEEP_FAIL_FAST=1" % queued.run_id
        if self._halt is not None:
            self._end_retrying()

    def _is_too_dear(self) -> bool:
        """Halt if the ceiling on costs is reached: rows under way go on, none begins."""
        ceiling = self._launch.ceiling
        if ceiling is None or not ceiling.is_reached:
            return False
        self._halt = "%s is reached: no further row begins" % ceiling.name
        self._end_retrying()
        self._record.update(ceiling=ceiling.name)
        return True

    def _is_stopped(self) -> bool:
        return os.path.exists(self._campaign.stop_path)

    def _stop(self) -> None:
        self._halt = self._halt or "stopped by the user"
        self._end_retrying()
        for queued in self._running:
            if not queued.is_stop_requested:
                write_atomic(queued.here.attempt(queued.number, "stop"), b"")
                queued.is_stop_requested = True

    def _end_retrying(self) -> None:
        """End rows that would have been tried again with the results that they have."""
        for queued in self._retrying:
            if queued.result is not None:
                queued.here.end(queued.result)
                changed_rows.name_row(self._campaign, queued.run_id)
        self._retrying.clear()

    def _halt_of_blocked(self) -> Optional[str]:
        if not self._blocked:
            return None
        why = "; ".join("row %s cannot go on: %s" % pair for pair in sorted(self._blocked.items()))
        return why[:MAX_REASON_CHARS]
