"""The supervisor of a campaign: one row after another, to the end, whoever watches.

A process in a session of its own that needs no controller, no link and no tmux. It holds the
campaign's lock while it lives, so that there is never a second one. All that it knows stands
on disk: killed at any instruction, its successor adopts the runner that is at work, or judges
how it ended, and goes on from there.
"""

import os
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from pytest_wf.agent import control, frozen, made, process, state
from pytest_wf.agent.attempt import spec_of
from pytest_wf.agent.command import Command, processes_per_row
from pytest_wf.agent.frozen import Campaign
from pytest_wf.agent.rows import SCHEMA, RowDir, Unreadable
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.files import parse_json, write_atomic, write_json
from pytest_wf.wire.messages import MAX_LINE_BYTES, Refusal

#: The longest time between two looks at a runner, and the time between two signs of life.
LOOK_S = 0.1
BEAT_S = 5.0
#: Waiting time before the first, second, … retry; the last one stands for all further ones.
BACKOFF_S = (2.0, 10.0, 60.0)


class Halt(NamedTuple):
    """Why the campaign cannot, or shall not, go on."""

    reason: str


def queue_main(words: List[str]) -> int:
    """``queue <campaign folder>``: 0 when it ended, or another supervisor is at work."""
    if len(words) != 1:
        print("queue takes a campaign's folder", file=sys.stderr)
        return 2
    told = parse_json(sys.stdin.buffer.readline(MAX_LINE_BYTES + 1), MAX_LINE_BYTES)
    return Supervisor(frozen.load(words[0]), dict(told["secrets"])).run()


class Supervisor:
    """Carries the rows of one campaign."""

    def __init__(
        self,
        campaign: Campaign,
        secrets: Dict[str, str],
        backoff_s: Sequence[float] = BACKOFF_S,
    ) -> None:
        self._campaign = campaign
        self._settings = campaign.settings
        self._secrets = secrets
        self._backoff_s = backoff_s
        self._body: Dict[str, Any] = {}
        self._beating = threading.Event()

    def run(self) -> int:
        """Work until every row has ended, or nothing can go on; then say so on disk."""
        lock = control.try_lock(os.path.join(self._campaign.folder, "supervisor.lock"))
        if lock is None:
            return 0
        try:
            self._announce()
            beat = threading.Thread(target=self._beat, name="beat", daemon=True)
            beat.start()
            try:
                halt = self._carry_all()
            except (OSError, Refusal, Unreadable) as e:
                self._say("stopped: %s" % e)
                halt = Halt("the supervisor stopped: %s" % e)
            self._beating.set()
            beat.join()
            self._conclude(halt)
        finally:
            os.close(lock)
        return 0

    def _carry_all(self) -> Optional[Halt]:
        for row in self._campaign.rows:
            if row.adopted_from:
                continue
            if self._is_stopped():
                return Halt("stopped by request")
            here = RowDir(self._campaign, row)
            summary = here.summary()
            if summary is None:
                halt, summary = self._carry(here)
                if halt is not None:
                    return halt
            if summary is not None and summary["state"] == "stopped":
                return Halt("stopped by request")
            failed = summary is not None and summary["state"] not in ("success", "dry_run")
            if failed and self._settings.flag("SWEEP_FAIL_FAST"):
                return Halt("row %s failed, and SWEEP_FAIL_FAST=1" % row.run_id)
        return None

    def _carry(self, here: RowDir) -> "tuple[Optional[Halt], Optional[Dict[str, Any]]]":
        """Take one row to its end."""
        if self._campaign.dry_run:
            return None, self._rehearse(here)
        number = here.last
        while True:
            if number == 0 or here.is_judged(number):
                number += 1
                self._start(here, number)
            result = self._await(here, number)
            if result.get("left"):
                here.end(result)
                return Halt(
                    "processes %s of row %s could not be ended" % (result["left"], here.row.run_id)
                ), None
            if not self._is_retried(here, number, result):
                return None, here.end(result)
            if not self._pause(here.tries(number)):
                here.end(result)
                return Halt("stopped by request"), None
            number += 1
            self._start(here, number)

    def _start(self, here: RowDir, number: int) -> None:
        """Spawn the runner of a new attempt, write down who it is, and so let it go."""
        self._make(here)
        folder = here.attempt(number)
        os.makedirs(folder)
        self._show(os.path.join(folder, "stdout.log"))
        self._say("row %s, attempt %d" % (here.row.run_id, number))
        runner = process.spawn_session(
            process.agent_argv("attempt", folder),
            log_path=self._campaign.log_path,
            stdin=spec_of(self._campaign, here.row, number, self._secrets),
        )
        write_json(
            os.path.join(folder, "pid.json"), dict(runner, cookie=here.cookie(number)), 0o600
        )

    def _make(self, here: RowDir) -> None:
        if not os.path.isdir(here.path):
            known = made.paths(self._settings)
            if not any(here.path.startswith(path.rstrip("/") + "/") for path in known):
                made.record(self._settings, here.path)
            os.mkdir(here.path, 0o755)

    def _await(self, here: RowDir, number: int) -> Dict[str, Any]:
        """Wait for the attempt's result; where its runner is gone, write it in its place."""
        stop_path = here.attempt(number, "stop")
        asked = False
        began = time.monotonic()
        while True:
            # asked in this order: a runner that ends in between has written its result
            alive = here.runner_lives(number)
            result = self._result(here, number)
            if result is not None:
                self._say(
                    "row %s, attempt %d: %s%s"
                    % (
                        here.row.run_id,
                        number,
                        result["state"],
                        " (%s)" % result["reason"] if result.get("reason") else "",
                    )
                )
                return result
            if not alive:
                return self._bury(here, number)
            if not asked and self._is_stopped():
                write_atomic(stop_path, b"")
                asked = True
            # a short row is not made to wait long for its end to be seen
            time.sleep(min(LOOK_S, 0.01 + (time.monotonic() - began) / 20))

    def _result(self, here: RowDir, number: int) -> Optional[Dict[str, Any]]:
        try:
            return here.result(number)
        except Unreadable as e:
            # not known to be good, and nothing that another look would change
            os.replace(
                here.attempt(number, "result.json"), here.attempt(number, "result.unreadable")
            )
            self._say("row %s, attempt %d: %s" % (here.row.run_id, number, e))
            return None

    def _bury(self, here: RowDir, number: int) -> Dict[str, Any]:
        left = process.kill_tree(
            here.cookie(number), None, float(self._settings.int("RUN_KILL_GRACE_SECS", 30))
        )
        return here.bury(number, left)

    def _is_retried(self, here: RowDir, number: int, result: Dict[str, Any]) -> bool:
        if result["state"] in ("success", "stopped") or self._is_stopped():
            return False
        retries = here.row.retries
        if retries is None:
            retries = self._settings.int("RUN_RETRIES", 1)
        classes = self._settings.get("RUN_RETRY_ON", "nccl preempted stalled").split()
        return result.get("failure_class") in classes and here.tries(number) <= retries

    def _pause(self, tries: int) -> bool:
        """Back off before the next try; False where the campaign is asked to stop meanwhile."""
        wait_s = self._backoff_s[min(tries, len(self._backoff_s)) - 1]
        self._say("next try in %g s" % wait_s)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if self._is_stopped():
                return False
            time.sleep(min(LOOK_S, wait_s))
        return True

    def _rehearse(self, here: RowDir) -> Dict[str, Any]:
        """Dry run: the command is written down, marked as never run, and the row has ended."""
        self._make(here)
        number = here.last + 1
        os.makedirs(here.attempt(number))
        command = Command(
            self._campaign, here.row, here.cookie(number), processes_per_row(self._settings)
        )
        now = control.now()
        status = {
            "schema": SCHEMA,
            "run_id": here.row.run_id,
            "campaign_id": self._campaign.campaign_id,
            "attempt": number,
            "state": "dry_run",
            "exit_code": None,
            "started_at": now,
            "ended_at": now,
            "pid": None,
            "boot_id": process.boot_id(),
        }
        for folder in (here.attempt(number), here.path):
            write_atomic(os.path.join(folder, "command.sh"), command.script(), 0o755)
            write_json(os.path.join(folder, "status.json"), status)
        result = dict(status, reason="a dry run: nothing was run", finished_at=now)
        write_json(here.attempt(number, "result.json"), result)
        return here.end(result)

    def _announce(self) -> None:
        self._body = dict(
            process.identity(os.getpid()),
            schema=SCHEMA,
            campaign_id=self._campaign.campaign_id,
            started_at=control.now(),
            tmux=self._open_window(),
        )
        self._save()
        self._say("supervisor %d of campaign %s" % (os.getpid(), self._campaign.campaign_id))

    def _conclude(self, halt: Optional[Halt]) -> None:
        """Say how it ended: the pod's state first, then the supervisor's own last word."""
        if halt is None:
            to, reason = fsm.SWEEP_COMPLETED, "every row of the campaign has ended"
        else:
            to, reason = fsm.SWEEP_STALLED, halt.reason
        self._say(reason)
        try:
            state.move(self._settings, "sweep-end", to, reason, self._campaign.flow_id)
        except (Refusal, OSError) as e:
            self._say("the pod's state is left alone: %s" % e)
        self._body.update(ended_at=control.now(), end=to, reason=reason)
        self._save()

    def _beat(self) -> None:
        while not self._beating.wait(BEAT_S):
            try:
                self._save()
            except OSError as e:
                self._say("no sign of life could be written: %s" % e)

    def _save(self) -> None:
        self._body["heartbeat"] = control.now()
        write_json(os.path.join(self._campaign.folder, "supervisor.json"), self._body, 0o600)

    def _is_stopped(self) -> bool:
        return os.path.exists(self._campaign.stop_path)

    def _say(self, text: str) -> None:
        try:
            with open(self._campaign.log_path, "a", encoding="utf-8") as f:
                f.write("%s wf: %s\n" % (control.now(), text))
        except OSError:
            pass  # its own log is the least of a campaign

    def _show(self, log: str) -> None:
        """Let ``live.log`` be the log of the attempt that runs."""
        live = os.path.join(self._campaign.folder, "live.log")
        try:
            os.symlink(log, live + ".new")
            os.replace(live + ".new", live)
        except OSError as e:
            self._say("live.log cannot be moved on: %s" % e)

    def _open_window(self) -> Optional[Dict[str, str]]:
        """A tmux window that shows the logs and does nothing else; None where there is no tmux."""
        server = ["tmux", "-L", ids.tmux_socket(self._settings.outputs)]
        session = self._settings.get("SWEEP_TMUX_SESSION") or "sweeps"
        live = os.path.join(self._campaign.folder, "live.log")
        # a link from the start: tail gives up on a name that turns into one
        self._show(os.devnull)
        watch = ["tail", "-q", "-n", "100", "-F", "-s", "0.5", "--max-unchanged-stats=1"]
        watch += ["--pid=%d" % os.getpid(), self._campaign.log_path, live]
        try:
            _tmux([*server, "kill-session", "-t", "=" + session])
            opened = _tmux([*server, "new-session", "-d", "-s", session, "-n", "sweep", *watch])
        except (OSError, subprocess.TimeoutExpired):
            return None
        if opened != 0:
            return None
        return {"socket": server[2], "session": session}


def _tmux(argv: List[str]) -> int:
    # a trainer's secrets never stand in this process's environment, so tmux gets none either
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=10,
        check=False,
    ).returncode
