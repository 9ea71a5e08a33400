"""The runner of one attempt: starts the trainer, keeps its log and writes how it ended.

It is a process that an executor starts and that outlives its supervisor. It reads what to run, and
the secrets, from one JSON line on its stdin, and waits until its supervisor has recorded its
handle. If a supervisor dies before that, its runner never begins, and the next supervisor can begin
another attempt without running a row twice.
"""

import os
import subprocess
import sys
import time
from typing import Any, BinaryIO, Dict, List, Optional

from pytest_wf.agent import process
from pytest_wf.agent.control import clock
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run import child_process, failure_class, findings, mirror
from pytest_wf.agent.run.executor import Share
from pytest_wf.agent.run.log_pump import LogPump
from pytest_wf.agent.run.metrics.out_files import FOUND_BEFORE
from pytest_wf.agent.run.metrics.record import MetricsRecord
from pytest_wf.agent.run.metrics.sources import RunMetrics
from pytest_wf.agent.run.resume import resume_point
from pytest_wf.agent.run.run_dir import HARMED, RowDir
from pytest_wf.agent.run.runner_base import End, Runner, is_disk_full
from pytest_wf.agent.run.trainer_command import Command
from pytest_wf.agent.run.watch import stacks
from pytest_wf.agent.run.watch.stall_watchdog import StallWatchdog, oom_kills
from pytest_wf.agent.run.watch.throughput import Throughput
from pytest_wf.wire import environment
from pytest_wf.wire.assignment import NO_ASSIGNMENT
from pytest_wf.wire.files import canonical_json, parse_json, remove_file, write_atomic, write_json
from pytest_wf.wire.messages import MAX_LINE_BYTES
from pytest_wf.wire.process import boot_id
from pytest_wf.wire.rows import SCHEMA, Row

#: Time between two live status files.
STATUS_S = 2.0


def attempt_main(words: List[str], stdin: BinaryIO) -> int:
    """``attempt DIR [PARENT]``: 0 when the attempt ended, however it ended.

    With PARENT, the pid of its parent, it stops waiting to be recorded if that process dies.
    """
    if len(words) not in (1, 2):
        print("attempt takes a directory and the pid of its parent", file=sys.stderr)
        return 2
    spec = parse_json(stdin.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
    return Attempt(words[0], spec).begin(int(words[1]) if len(words) > 1 else 0)


def spec_of(here: RowDir, number: int, share: Share, secrets: Dict[str, str], token: str) -> bytes:
    """The line that tells a runner what to run; never written to a disk.

    `token` is recorded with the runner's handle once it has been started.
    """
    head = here.campaign._replace(rows=[], assignment=NO_ASSIGNMENT)
    body: Dict[str, Any] = dict(head._asdict(), settings=dict(head.settings))
    return (
        canonical_json(
            {
                "token": token,
                "campaign": body,
                "row": here.row.as_json(),
                "attempt": number,
                "share": dict(share._asdict()),
                "secrets": secrets,
            }
        )
        + b"\n"
    )


class Attempt(Runner):
    """One attempt of one row."""

    def __init__(self, folder: str, spec: Dict[str, Any]) -> None:
        settings = Settings(spec["campaign"]["settings"])
        self._campaign = Campaign(**dict(spec["campaign"], settings=settings))
        self._row = Row.from_json(spec["row"])
        self._number = int(spec["attempt"])
        self._share = Share(**spec["share"])
        self._token = str(spec["token"])
        self._dir = RowDir(self._campaign, self._row)
        cookie = self._dir.cookie(self._number)
        super().__init__(
            folder,
            cookie,
            dict(spec["secrets"]),
            grace_s=settings.kill_grace_s,
            linger_s=settings.int("RUN_LINGER_SECS"),
        )
        self._settings = settings
        self._out = settings.out_dir(self._row.run_id)
        self._trackers = settings.trackers_dir(self._row.run_id)
        #: All folders that the trainer writes to.
        self._written = (self._out, self._trackers)
        self._is_mirrored = mirror.is_used(settings)
        self._record = MetricsRecord(self._dir.metrics_path, self._number, time.monotonic())
        self._metrics = RunMetrics(
            self._out, self._record, self._redactor.text, settings.log_pattern
        )
        self._status_at = 0.0
        self._last_progress: Optional[Dict[str, Any]] = None
        self._throughput = Throughput()
        #: The checkpoint that it resumes from, relative to the run directory.
        self._resumed_from: Optional[str] = None

    def begin(self, parent: int = 0) -> int:
        """`Runner.main`; it waits only while `parent` lives, if that is a pid."""
        recorded = {"token": self._token}
        return self.main(lambda: self._dir.handle(self._number), recorded, parent)

    def run(self) -> None:
        """Run the trainer to its end, and write the result."""
        reserve = child_process.keep_reserve(self._folder)
        self._prepare_out()
        self._record.begin()
        self._metrics.files.begin(os.path.join(self._folder, FOUND_BEFORE))
        command = self._command()
        for folder in (self._folder, self._dir.path):
            write_atomic(os.path.join(folder, "command.sh"), command.script(), 0o755, flush=None)
        log = self._open_log()
        self._status("running")
        copies = mirror.Mirror(self._campaign, self._row) if self._is_mirrored else None
        oom_before = oom_kills()
        try:
            child, pump = self._spawn(command, log)
        except OSError as e:
            reason = "the trainer could not be started: %s" % e
            self._finish(reserve, End("failed", "user", reason), None, [])
            return
        self._status("running")
        if copies is not None:
            copies.start()
        end = self._watch_trainer(child, pump, command)
        if end is not None:
            # if the runner is killed before the result is written, its successor finds this
            self._status("running", ending=end)
        left = self._clear(child, pump, end)
        self._metrics.finish()
        if end is None and child.returncode != 0:
            end = self._explain(child, pump, oom_kills() - oom_before)
        if copies is not None:
            end = self._bring_home(copies, end)
        self._finish(reserve, end, child.returncode, left)

    def give_up(self, error: OSError, left: List[int]) -> None:
        """Write the result of an attempt whose runner could not go on."""
        failure = "disk_full" if is_disk_full(error) else "user"
        end = End("failed", failure, "the runner could not go on: %s" % error)
        self._finish(os.path.join(self._folder, ".reserve"), end, None, left)

    def _command(self) -> Command:
        """The trainer's command, which resumes from the checkpoint of an earlier attempt."""
        found = resume_point.of_attempt(self._dir, self._number)
        if found:
            self._resumed_from = os.path.normpath(os.path.join("out", found))
        return Command(
            self._campaign,
            self._row,
            self._cookie,
            self._share,
            self._secrets,
            os.path.normpath(os.path.join(self._out, found)) if found else "",
        )

    def _spawn(self, command: Command, log: int) -> "tuple[subprocess.Popen[bytes], LogPump]":
        script = os.path.join(self._folder, "command.sh")
        return self._start(
            [child_process.bash(), script],
            cwd=self._dir.path,
            env=environment.of_command({**self._secrets, **command.environment()}),
            log=log,
            on_lines=self._metrics.take_log,
        )

    def _watch_trainer(
        self, child: "subprocess.Popen[bytes]", pump: LogPump, command: Command
    ) -> Optional[End]:
        """Wait for the trainer's own end, or find a reason to end it."""
        silent_s = self._settings.int("RUN_HEARTBEAT_SECS")
        watchdog = StallWatchdog(silent_s, self._written, command.heartbeat_path)

        def look() -> Optional[End]:
            if watchdog.is_stalled(pump.received):
                self._dump_stacks()
                reason = "no output and no growing file for %d s" % watchdog.limit_s
                return End("failed", "stalled", reason)
            self._live_status(pump)
            return None

        return self._watch(child, self._dir.timeout_s, look)

    def _prepare_out(self) -> None:
        """Create the trainer's folders, unless an earlier attempt left something in their place."""
        durable = self._settings.durable_out(self._row.run_id)
        for path in (durable, self._trackers):
            if not os.path.lexists(path):
                os.mkdir(path, 0o755)
        if self._is_mirrored:
            mirror.prepare(self._campaign, self._row)

    def _bring_home(self, copies: mirror.Mirror, end: Optional[End]) -> Optional[End]:
        """Copy the last results to the durable side; if that fails, a good row has failed."""
        why = copies.finish()
        others = [text for text in copies.complaints if text != why]
        for text in others[:8]:
            self._note("mirror", "a copy failed meanwhile: %s" % text)
        if why is None:
            return end
        reason = "its results in %s could not be mirrored: %s" % (copies.source, why)
        if end is not None:
            self._note("mirror", reason)
            return end
        return End("failed", mirror.failure_class(why), reason)

    def _dump_stacks(self) -> None:
        """Keep the stacks of all processes of a stalled attempt, if py-spy is on the pod."""
        python = self._settings.venv_python
        found = stacks.dump(process.holders(self._cookie), python)
        if found:
            text = self._redactor.text(found).encode("utf-8", "replace")
            write_atomic(os.path.join(self._folder, "stacks.txt"), text)

    def _explain(self, child: "subprocess.Popen[bytes]", pump: LogPump, ooms: int) -> End:
        status = child.returncode
        ended_by = -status if status < 0 else None
        if self._share.environment and not failure_class.was_killed(status, pump.tail()):
            # counted for the whole pod: the kernel may have killed a process of another row
            ooms = 0
        cause = failure_class.classify(
            child_process.shell_status(status), ended_by, pump.tail(), ooms
        )
        return End("failed", cause.failure_class, cause.reason)

    def _finish(
        self, reserve: str, end: Optional[End], status: Optional[int], left: List[int]
    ) -> None:
        if self._dir.restore(self._number):
            self._note("run-dir-harmed", HARMED)
        if end is not None and end.failure_class == "disk_full":
            end = self._with_inodes(end)
        child_process.give_reserve(reserve)
        self._drop_empty_trackers()
        self._publish_log()
        metrics = self._metrics.values
        for note in findings.notes_on(metrics, self._written, has_ended_well=end is None):
            self._note(note.code, note.text)
        if self._record.error:
            self._note("metrics-unwritten", "metrics.jsonl: %s" % self._record.error)
        state = "success" if end is None else end.state
        result: Any = {
            "schema": SCHEMA,
            "run_id": self._row.run_id,
            "campaign_id": self._campaign.campaign_id,
            "attempt": self._number,
            "state": state,
            "exit_code": None if status is None else child_process.shell_status(status),
            "signal": -status if status is not None and status < 0 else None,
            "failure_class": None if end is None else end.failure_class,
            "reason": None if end is None else end.reason,
            "started_at": self._started_at,
            "finished_at": clock.now(),
            "duration_s": round(time.monotonic() - self._began, 3),
            "metrics": metrics.summary(),
            "extremes": {name: one.as_json() for name, one in metrics.extremes().items()},
            "sources": metrics.sources,
            "gpus": self._share.names,
            "resumed_from": self._resumed_from,
            "left": left,
            "notes": self._notes,
        }
        result = self._redactor.value(result)
        self._status(state, result, metrics.progress())
        # before the result: a good row that has ended must have a summary
        if end is None:
            self._dir.end(result)
        write_json(os.path.join(self._folder, "result.json"), result)

    def _with_inodes(self, end: End) -> End:
        """`end`, with a reason that says so if the disk had no inodes left."""
        lacking = findings.without_inodes([self._folder, *self._written])
        if not lacking:
            return end
        self._note("no-inodes", lacking)
        return end._replace(reason="%s: %s" % (lacking, end.reason))

    def _drop_empty_trackers(self) -> None:
        try:
            os.rmdir(self._trackers)
        except OSError:
            pass  # it holds something, or the trainer has removed it

    def _live_status(self, pump: LogPump) -> None:
        if time.monotonic() - self._status_at < STATUS_S:
            return
        self._metrics.update()
        values = self._metrics.live_values
        progress = values.progress()
        self._status_at = time.monotonic()
        has_news = self._throughput.update(values.step, values.total_steps, pump.whole_lines())
        if has_news or progress != self._last_progress:
            self._last_progress = progress
            self._status("running", progress=progress)

    def _status(
        self,
        state: str,
        result: Optional[Dict[str, Any]] = None,
        progress: Optional[Dict[str, Any]] = None,
        ending: Optional[End] = None,
    ) -> None:
        body = {
            "schema": SCHEMA,
            "run_id": self._row.run_id,
            "campaign_id": self._campaign.campaign_id,
            "attempt": self._number,
            "state": state,
            "exit_code": result["exit_code"] if result else None,
            "started_at": self._started_at,
            "ended_at": result["finished_at"] if result else None,
            "updated_at": clock.now(),
            "pid": self._child_pid,
            "boot_id": boot_id(),
            "progress": progress or self._last_progress,
            "live": self._throughput.live() if result is None else None,
            "gpus": self._share.names,
            "resumed_from": self._resumed_from,
            "ending": None if ending is None else dict(ending._asdict()),
        }
        for folder in (self._folder, self._dir.path):
            try:
                self._write(os.path.join(folder, "status.json"), body, is_live=result is None)
            except OSError as e:
                if result is not None:
                    raise
                # live progress may be lost; the result may not
                self._note("status-unwritten", "status.json could not be written: %s" % e)

    def _open_log(self) -> int:
        log = super()._open_log()
        path = os.path.join(self._folder, "stdout.log")
        # One file under two names costs no second write and no second block. On a file system
        # without hard links, a copy is made at the end (_publish_log).
        shown = os.path.join(self._dir.path, "stdout.log")
        try:
            os.link(path, shown + ".new")
            os.replace(shown + ".new", shown)
        except OSError:
            remove_file(shown)
        return log

    def _publish_log(self) -> None:
        path = os.path.join(self._folder, "stdout.log")
        shown = os.path.join(self._dir.path, "stdout.log")
        if not os.path.lexists(shown):
            try:
                with open(path, "rb") as source, open(shown + ".new", "wb") as copy:
                    for piece in iter(lambda: source.read(1 << 20), b""):
                        copy.write(piece)
                os.replace(shown + ".new", shown)
            except OSError as e:
                self._note("log-not-copied", "stdout.log could not be copied: %s" % e)
