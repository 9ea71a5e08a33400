"""Rows under the real torchrun: two ranks with gloo, and a time-out that leaves none of them."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

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


def with_torch(pod: Any) -> Any:
    """`pod`, with an interpreter that has a real torch."""
    python = pod.repo / ".venv" / "bin" / "python"
    python.unlink()
    # a link would lose the environment that it points into
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(os.environ["WF_TEST_TORCH_PYTHON"])} "$@"\n')
    python.chmod(0o755)
    return pod


@pytest.fixture
def torch_pod(pod_with: Any) -> Any:
    """A pod whose interpreter has a real torch, with two processes a row."""
    return with_torch(pod_with(TRAIN_LAUNCHER="torchrun", NPROC_PER_NODE="2"))


def test_two_ranks_train_and_report(torch_pod: Any) -> None:
    torch_pod.trainer(ALL_REDUCE + "dist.destroy_process_group()\n")
    row = torch_pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success", torch_pod.log("a")
    assert (row["metrics"]["step"], row["metrics"]["ranks"]) == (1, 2.0)
    assert "threads 1" in torch_pod.log("a")


def test_a_rank_that_raises_is_classed_by_its_own_error(torch_pod: Any) -> None:
    torch_pod.trainer(
        ALL_REDUCE + "if dist.get_rank() == 0: raise ValueError('n_head must divide n_embd')\n"
        "time.sleep(60)\n"
    )
    row = torch_pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["failure_class"]) == ("failed", "user"), torch_pod.log("a")
    assert "n_head must divide n_embd" in row["reason"]


#: One of two ranks hears no SIGTERM, and both would go on for ever.
HALF_DEAF = (
    ALL_REDUCE + "import signal\nif dist.get_rank() == 1:\n"
    "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print('deaf', flush=True)\n"
    "    (out / 'deaf').touch()\n"
    "while True: time.sleep(1)\n"
)


def left_of(pod: Any, run_id: str) -> list[int]:
    """Processes of a run that live: those with its cookie, and those that its directory names."""
    out_dir = f"out_dir={pod.outputs / run_id}/out".encode()
    found = set(pod.cookie_holders(run_id))
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if out_dir in entry.read_bytes().split(b"\0"):
                found.add(int(entry.parent.name))
        except OSError:
            continue
    return sorted(found)


def both_up(pod: Any) -> int:
    """Wait until both ranks train, one of them deaf; the pid of torchrun's agent."""
    until(lambda: "deaf" in pod.wait_for_file("a/stdout.log").read_text(), "a rank is deaf")
    assert len(left_of(pod, "a")) >= 3, "an agent and two ranks"
    return int(pod.read("a/status.json")["pid"])


@pytest.mark.long
def test_a_time_out_leaves_no_rank(torch_pod: Any) -> None:
    torch_pod.trainer(HALF_DEAF)
    torch_pod.start(make_row("a", timeout_s=10))
    with torch_pod.stopped_runner("a"):
        torch_pod.wait_for_file("a/out/deaf")
    row = torch_pod.ended()["rows"][0]
    assert row["state"] == "timed_out"
    assert not left_of(torch_pod, "a")
    assert read_json(str(torch_pod.outputs / "a/attempts/1/result.json"))["left"] == []


@pytest.mark.long
def test_a_stop_leaves_no_rank(torch_pod: Any) -> None:
    torch_pod.trainer(HALF_DEAF)
    torch_pod.start(make_row("a"))
    both_up(torch_pod)
    stopped = torch_pod.client.request("campaign-stop", timeout_s=90)
    assert stopped["leftovers"] == []
    assert not left_of(torch_pod, "a")
    assert torch_pod.rows()["a"]["state"] == "stopped"


@pytest.mark.fault("P8")
def test_the_ranks_of_a_killed_torchrun_are_ended_too(torch_pod: Any) -> None:
    torch_pod.trainer(HALF_DEAF)
    torch_pod.start(make_row("a"))
    os.kill(both_up(torch_pod), signal.SIGKILL)
    row = torch_pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"], row["exit_code"]) == ("failed", "killed", 137)
    assert not left_of(torch_pod, "a")
    notes = torch_pod.read("a/attempts/1/result.json")["notes"]
    assert any("2 processes outlived" in note["text"] for note in notes)


@pytest.mark.long
def test_two_rows_at_once_meet_at_ports_of_their_own(pod_with: Any) -> None:
    pod = with_torch(
        pod_with(
            TRAIN_LAUNCHER="torchrun",
            NPROC_PER_NODE="2",
            CUDA_VISIBLE_DEVICES="0,1",
            GPUS_PER_RUN="1",
        )
    )
    pod.trainer(
        ALL_REDUCE + "(out / f'up{dist.get_rank()}').touch()\n"
        "port = os.environ['MASTER_PORT']\n(out / 'port').write_text(port)\n"
        "while len(list(outputs.glob('*/out/up*'))) < 4: time.sleep(0.05)\n"
        "dist.destroy_process_group()\n"
    )
    rows = pod.run_to_end(make_row("a"), make_row("b"))
    assert [row["state"] for row in rows.values()] == ["success"] * 2, pod.log("a") + pod.log("b")
    assert (pod.outputs / "a/out/port").read_text() != (pod.outputs / "b/out/port").read_text()
