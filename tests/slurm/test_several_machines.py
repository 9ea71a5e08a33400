"""Rows over two machines of a real Slurm, with a real torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sweep_pod import SweepPod, make_row
from tests.support.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.torch]

TRAINER = """\
import torch.distributed as dist, torch
dist.init_process_group("gloo")
rank = dist.get_rank()
total = torch.ones(1)
dist.all_reduce(total)
print("rank %d of %d sums %d" % (rank, dist.get_world_size(), int(total)), flush=True)
mark = outputs / ("rank%d" % rank)
mark.write_text(str(os.getpid()))
first = len(list((out.parent / "attempts").iterdir())) == 1
while first and (outputs / "hold").exists(): time.sleep(0.05)
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture
def two_machines(login: Callable[..., SweepPod]) -> SweepPod:
    """A login node whose rows are trained by torchrun on two machines."""
    python = os.environ.get("WF_TEST_TORCH_PYTHON", "")
    if not python:
        pytest.skip("WF_TEST_TORCH_PYTHON names no python")
    pod = login(
        TRAIN_LAUNCHER="torchrun", RUN_RETRY_ON="killed preempted user nccl", GPUS_PER_RUN="1"
    )
    link = pod.repo / ".venv" / "bin" / "python"
    link.unlink()
    link.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    link.chmod(0o755)
    pod.trainer(TRAINER)
    return pod


def test_a_row_over_two_machines_is_one_training(two_machines: SweepPod) -> None:
    two_machines.start(make_row("wide", nodes=2))
    # four processes import torch
    until(lambda: two_machines.status()["supervisor"] != "alive", "it ends", 200)
    row, log = two_machines.rows()["wide"], two_machines.log("wide")
    assert row["state"] == "success", log
    assert "rank 0 of 2 sums 2" in log
    assert "rank 1 of 2 sums 2" in log


@pytest.mark.long
def test_where_one_rank_is_killed_both_machines_end_and_the_row_is_tried_as_a_whole(
    two_machines: SweepPod,
) -> None:
    pod = two_machines
    (pod.outputs / "hold").touch()
    pod.start(make_row("wide", nodes=2))
    marks = [pod.wait_for_file(f"rank{rank}") for rank in (0, 1)]
    pids = [int(until(mark.read_text, "its pid")) for mark in marks]
    os.kill(pids[1], signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both have ended")
    ended = until(lambda: pod.rows()["wide"]["state"] in ("success", "failed"), "it ends", 120)
    assert ended
    row = pod.rows()["wide"]
    assert (row["state"], row["attempts"]) == ("success", 2), pod.log("wide", 1)
    assert pod.read("wide/attempts/1/result.json")["state"] == "failed"
