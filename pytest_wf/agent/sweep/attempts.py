"""How an attempt of a row is begun, and judged where its runner is gone."""

import os
from typing import Any, Callable, Dict, Optional

from pytest_wf.agent.run import dead_attempt
from pytest_wf.agent.run.attempt import spec_of
from pytest_wf.agent.run.executor import Executor, Handle, Job, Share
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.wire.files import write_json


def begin(
    executor: Executor,
    here: RowDir,
    number: int,
    secrets: Dict[str, str],
    log_path: str,
    prepare: Callable[[Share], None],
) -> Optional[Handle]:
    """Start the runner of an attempt and record its handle, which lets it begin.

    None where the executor has no room now; else `prepare` was called and made the attempt's
    directory. The runner's own output goes to `log_path`. Raises OSError.
    """
    token = os.urandom(8).hex()

    def spec(share: Share) -> bytes:
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
    """End what is left of an attempt whose runner wrote no result, and write that."""
    exited = dead_attempt.exit_of(here, number)
    left = executor.cancel(here.cookie(number), handle, here.campaign.settings.kill_grace_s)
    return dead_attempt.record(here, number, exited, left)
