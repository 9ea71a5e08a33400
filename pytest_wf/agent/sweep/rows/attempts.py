"""Begins an attempt of a row, judges one whose runner is gone, or writes one without running it."""

import os
from typing import Any, Callable, Dict, Optional

from pytest_wf.agent.control import clock
from pytest_wf.agent.run import dead_attempt
from pytest_wf.agent.run.executor import Executor, Handle, Job, Share
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.run.trainer_command import Command
from pytest_wf.wire.files import write_atomic, write_json
from pytest_wf.wire.process import boot_id
from pytest_wf.wire.rows import SCHEMA
from pytest_wf.wire.states import DRY_RUN


def begin(
    executor: Executor,
    here: RowDir,
    number: int,
    secrets: Dict[str, str],
    log_path: str,
    prepare: Callable[[Share], None],
) -> Optional[Handle]:
    """Start the runner of an attempt and record its handle, which lets it begin.

    None if the executor has no room now; else `prepare` was called and made the attempt's
    directory. The runner's own output goes to `log_path`. Raises OSError.
    """
    token = os.urandom(8).hex()

    def spec(share: Share) -> bytes:
        from pytest_wf.agent.run.attempt import spec_of  # heavy for a server, which begins none

        prepare(share)
        return spec_of(here, number, share, secrets, token)

    folder = here.attempt(number)
    handle = executor.start(Job(folder, here.cookie(number), here.gpus, log_path, spec))
    if handle is None:
        return None
    handle = dict(handle, token=token)
    write_json(os.path.join(folder, "pid.json"), handle, 0o600)
    return handle


def record_dead(
    executor: Executor, here: RowDir, number: int, handle: Optional[Handle]
) -> Dict[str, Any]:
    """End the processes of an attempt whose runner wrote no result, and write the result."""
    exited = dead_attempt.exit_of(here, number)
    left = executor.cancel(here.cookie(number), handle, here.campaign.settings.kill_grace_s)
    return dead_attempt.record(here, number, exited, left)


def dry_run(executor: Executor, here: RowDir) -> None:
    """Write the command of a row without running it, and end the row."""
    number = here.last + 1
    os.makedirs(here.attempt(number))
    share = executor.share(here.gpus) or Share([], {})
    command = Command(here.campaign, here.row, here.cookie(number), share)
    now = clock.now()
    status = {
        "schema": SCHEMA,
        "run_id": here.row.run_id,
        "campaign_id": here.campaign.campaign_id,
        "attempt": number,
        "state": DRY_RUN,
        "exit_code": None,
        "started_at": now,
        "ended_at": now,
        "pid": None,
        "boot_id": boot_id(),
    }
    for folder in (here.attempt(number), here.path):
        write_atomic(os.path.join(folder, "command.sh"), command.script(), 0o755, flush=None)
        write_json(os.path.join(folder, "status.json"), status)
    result = dict(status, reason="a dry run: nothing was run", finished_at=now)
    write_json(here.attempt(number, "result.json"), result)
    here.end(result)
