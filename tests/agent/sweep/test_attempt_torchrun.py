"""Rows under the real torchrun: two ranks with gloo, and a time-out that leaves none of them."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.wire.files import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRow = Callable[..., dict[str, Any]]

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ALL_REDUCE = (
    "import torch, torch.distributed as dist\n"
    "dist.init_process_group('gloo')\n"
    "x = torch.ones(1); dist.all_reduce(x)\n"
    "if dist.get_rank() == 0:\n"
    "    print('step 1: sum', x.item() and 'x', 'threads', os.environ['OMP_NUM_THREADS'])\n"
    "    (out / 'metrics.jsonl').write_text(json.dumps({'step': 1, 'ranks': x.item()}) + '\\n')\n"
)


@pytest.fixture
def torch_pod(pod_with: Any) -> Any:
    """A pod whose interpreter has a real torch, with two processes a row."""
    pod = pod_with(TRAIN_LAUNCHER="torchrun", NPROC_PER_NODE="2")
    python = pod.repo / ".venv" / "bin" / "python"
    python.unlink()
    # a link would lose the environment that it points into
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(os.environ["WF_TEST_TORCH_PYTHON"])} "$@"\n')
    python.chmod(0o755)
    return pod


def test_two_ranks_train_and_report(torch_pod: Any, make_row: MakeRow) -> None:
    torch_pod.trainer(ALL_REDUCE + "dist.destroy_process_group()\n")
    row = torch_pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success", torch_pod.log("a")
    assert row["metrics"] == {"step": 1, "ranks": 2.0}
    assert "threads 1" in torch_pod.log("a")


def test_a_rank_that_raises_is_classed_by_its_own_error(torch_pod: Any, make_row: MakeRow) -> None:
    torch_pod.trainer(
        ALL_REDUCE + "if dist.get_rank() == 0: raise ValueError('n_head must divide n_embd')\n"
        "time.sleep(60)\n"
    )
    row = torch_pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["failure_class"]) == ("failed", "user"), torch_pod.log("a")
    assert "n_head must divide n_embd" in row["reason"]


def test_a_time_out_leaves_no_rank(torch_pod: Any, make_row: MakeRow) -> None:
    torch_pod.trainer(
        ALL_REDUCE + "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\nwhile True: time.sleep(1)\n"
    )
    row = torch_pod.run_to_end(make_row("a", timeout_s=15))["a"]
    assert "deaf" in torch_pod.log("a")
    assert row["state"] == "timed_out"
    assert not torch_pod.cookie_holders("a")
    assert read_json(str(torch_pod.outputs / "a/attempts/1/result.json"))["left"] == []
