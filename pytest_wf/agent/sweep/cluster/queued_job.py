"""The job of a row in a cluster's queue: begins the row's attempts, and decides what follows.

It runs on whatever machine the queue chose, in the folder that all machines share. It records
itself before it begins, and needs no process on the login node.
"""

import os
import signal
import sys
from types import FrameType
from typing import BinaryIO, Dict, List, Optional

from pytest_wf.agent.control import frozen_campaign, launches
from pytest_wf.agent.control.frozen_campaign import Campaign
from pytest_wf.agent.run import dead_attempt
from pytest_wf.agent.run.attempt import Attempt, spec_of
from pytest_wf.agent.run.executor import Share
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.run.runner_base import End
from pytest_wf.agent.run.slurm import chunks, client, node_run
from pytest_wf.agent.run.slurm.chunks import Chunk
from pytest_wf.agent.run.slurm.client import Silent
from pytest_wf.agent.setup import torch_check
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.sweep import retry
from pytest_wf.agent.sweep.cluster.queued import HALTED, make_dir
from pytest_wf.wire.files import parse_json, write_atomic, write_json
from pytest_wf.wire.messages import MAX_LINE_BYTES
from pytest_wf.wire.process import boot_id
from pytest_wf.wire.states import STOPPED, SUCCESS

_SIGTERM_STATUS = 128 + signal.SIGTERM
#: Seconds until a SIGTERM of the queue that the trainer has had has come here too.
_SIGTERM_S = 2.0


def job_main(words: List[str], _stdin: BinaryIO) -> int:
    """``job CAMPAIGN_DIR CHUNK``: 0, however the row ended."""
    if len(words) != 2:
        print("job takes the directory of a campaign and the number of an array", file=sys.stderr)
        return 2
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    campaign = frozen_campaign.load(words[0])
    chunk = Chunk.read(campaign.folder, int(words[1]))
    job = QueuedJob(campaign, chunk, os.environ)
    job.run()
    job.drop_empty_log()
    return 0


class QueuedAttempt(Attempt):
    """An attempt whose job the queue may end, and start again elsewhere."""

    is_time_up = False

    def run(self) -> None:
        """As `Attempt.run`; SIGUSR1 says that the job's time is nearly up."""
        signal.signal(signal.SIGUSR1, self._on_usr1)
        super().run()

    def was_ended_from_outside(self, exit_code: Optional[int]) -> bool:
        """Whether the queue ended it, for a reason that the queue alone knows.

        The queue sends SIGTERM to all processes of a job. A trainer that ends by SIGTERM alone was
        not ended by the queue: srun sends it to the other machines if one of them fails.
        """
        if exit_code == _SIGTERM_STATUS:
            self._has_sigterm.wait(_SIGTERM_S)
        return self._has_sigterm.is_set() and not self.is_time_up

    def _on_usr1(self, _number: int, _frame: Optional[FrameType]) -> None:
        self.is_time_up = True

    def _request(self) -> Optional[End]:
        asked = super()._request()
        if asked is not None and asked.state == STOPPED:
            return asked
        if self.is_time_up:
            return End("timed_out", "timeout", "the time of its job was nearly up (--time)")
        if asked is not None:
            return End("failed", "preempted", "the queue sent SIGTERM to its job")
        if os.path.exists(self._dir.attempt(self._number + 1)):
            # the queue gave this machine up, and began the row elsewhere
            return End("failed", "preempted", "a later attempt has begun")
        return None


class QueuedJob:
    """One task of an array."""

    def __init__(self, campaign: Campaign, chunk: Chunk, environ: "os._Environ[str]") -> None:
        self._campaign = campaign
        self._chunk = chunk
        self._job = environ.get("SLURM_JOB_ID", "")
        self._array = environ.get("SLURM_ARRAY_JOB_ID", "")
        self._index = environ.get("SLURM_ARRAY_TASK_ID", "")
        self._node = environ.get("SLURMD_NODENAME", "")
        self._gpus = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        #: For queries to Slurm, after its variables were removed from the environment.
        self._client_env = client.environ(dict(environ))
        run_id = chunk.run_ids[int(self._index)]
        row = next(row for row in campaign.rows if row.run_id == run_id)
        self._here = RowDir(campaign, row)

    def run(self) -> None:
        """Begin the row's next attempt, if that is this job's task."""
        if not self._is_ours() or not self._may_begin():
            return
        number = self._here.last
        if number and self._here.result(number) is None:
            dead_attempt.record(self._here, number, dead_attempt.exit_of(self._here, number), [])
        self._strip_environment()
        make_dir(self._here)
        why = self._why_unfit()
        if why:
            os.makedirs(self._here.attempt(number + 1))
            result = dead_attempt.record(self._here, number + 1, None, [])
            self._here.end(dict(result, failure_class="cuda", reason=why))
            return
        attempt = self._begin(number + 1)
        self._judge(attempt, number + 1)

    def drop_empty_log(self) -> None:
        """Remove the log of this task if it is empty."""
        path = chunks.log_of(self._campaign.folder, self._chunk.number, self._index)
        try:
            if os.path.getsize(path) == 0:
                os.unlink(path)
        except OSError:
            pass

    def _is_ours(self) -> bool:
        """Whether this array was the first of its name: its submission may have been repeated."""
        path = chunks.path_of(self._campaign.folder, self._chunk.number, "claim")
        own = "%s.%s.%s" % (path, self._array, self._index)
        write_atomic(own, self._array.encode())
        try:
            os.link(own, path)  # atomic, even if files are shared
        except FileExistsError:
            pass
        finally:
            os.unlink(own)
        with open(path, encoding="ascii") as f:
            first = f.read()
        if first != self._array:
            print("array %s runs these rows; this is %s" % (first, self._array))
        return first == self._array

    def _may_begin(self) -> bool:
        newest = chunks.places(chunks.recorded(self._campaign.folder))[self._here.row.run_id][0]
        halted = os.path.join(self._campaign.folder, HALTED)
        stops = any(os.path.exists(path) for path in (self._campaign.stop_path, halted))
        return not stops and newest.number == self._chunk.number and self._here.summary() is None

    def _why_unfit(self) -> str:
        """Why torch is not fit for the row on this machine, if the config requires that."""
        settings = self._campaign.settings
        if not settings.flag("REQUIRE_GPU_TORCH"):
            return ""
        log = StepLog(os.devnull)
        torch, error = torch_check.find_torch(settings, log, settings.venv_python)
        return torch_check.why_unfit(settings, torch, error)

    def _strip_environment(self) -> None:
        if self._campaign.settings.get("WF_SLURM_KEEP_ENV", "") == "1":
            return
        for name in list(os.environ):
            if name.startswith(node_run.OF_THE_QUEUE) and name != "SLURM_CONF":
                del os.environ[name]

    def _begin(self, number: int) -> QueuedAttempt:
        here, token = self._here, os.urandom(8).hex()
        os.makedirs(here.attempt(number))
        handle = {
            "campaign": self._campaign.folder,
            "chunk": self._chunk.number,
            "array": int(self._array),
            "index": int(self._index),
            "job": self._job,
            "node": self._node,
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "token": token,
        }
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(self._gpus)} if self._gpus else {}
        share = Share(self._gpus, environment, self._prefix(here.cookie(number)))
        spec = parse_json(spec_of(here, number, share, self._secrets(), token), MAX_LINE_BYTES)
        attempt = QueuedAttempt(here.attempt(number), spec)
        write_json(here.attempt(number, "pid.json"), handle, 0o600)
        attempt.begin()
        return attempt

    def _prefix(self, cookie: str) -> List[str]:
        nodes = self._chunk.shape.nodes
        keeps_env = self._campaign.settings.get("WF_SLURM_KEEP_ENV", "") == "1"
        return node_run.launcher(self._job, nodes, cookie, keeps_env) if nodes > 1 else []

    def _secrets(self) -> Dict[str, str]:
        names = self._campaign.settings.get("WF_SECRET_ENV", "").split()
        return {name: os.environ[name] for name in names if os.environ.get(name)}

    def _judge(self, attempt: QueuedAttempt, number: int) -> None:
        """End the row, or put it into the queue again; neither if the queue ended its job."""
        here = self._here
        result = here.result(number)
        if result is None or here.summary() is not None:
            return  # it could not be written: the next request about the campaign judges the row
        if result["state"] == STOPPED:
            here.end(result)
            return
        if attempt.was_ended_from_outside(result.get("exit_code")):
            return
        if retry.should_retry(self._campaign.settings, result, here.tries(number), here.retries):
            try:
                client.requeue(self._job, self._client_env)
                return
            except Silent as e:
                print("not queued again: %s" % e)
        here.end(result)
        if result["state"] != SUCCESS and launches.newest(self._campaign).fail_fast:
            reason = "row %s failed, and SWEEP_FAIL_FAST=1" % here.row.run_id
            write_atomic(os.path.join(self._campaign.folder, HALTED), reason.encode())
