from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "charlm"
TORCHRUN = (
    "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nproc_per_node=2"
)  # fmt: skip

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def torch_python() -> str:
    python = os.environ.get("WF_TEST_TORCH_PYTHON")
    assert python, "WF_TEST_TORCH_PYTHON names no python that has torch; `make test` sets it"
    return python


def run(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    argv = [python, *arguments]
    return subprocess.run(
        argv, cwd=EXAMPLE, env=env, capture_output=True, text=True, timeout=180, check=False
    )


def metrics_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_two_processes_learn_together_over_gloo(torch_python: str, tmp_path: Path) -> None:
    result = run(
        torch_python, *TORCHRUN, "train.py", "config/default.py", f"out_dir={tmp_path}", "steps=60"
    )
    assert result.returncode == 0, result.stderr
    assert "2 processes on cpu, begun at step 0" in result.stdout
    metrics = metrics_of(tmp_path)
    assert [line["step"] for line in metrics] == [0, 25, 50, 60]
    assert metrics[0]["val_loss"] > 4.5
    assert metrics[-1]["val_loss"] < 3.3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ckpt.pt", "metrics.jsonl"]


def test_a_failed_run_goes_on_from_its_checkpoint(torch_python: str, tmp_path: Path) -> None:
    common = ("train.py", f"out_dir={tmp_path}", "steps=30", "eval_interval=10", "width=32")
    failed = run(torch_python, *common, "checkpoint_interval=10", "abort_at_step=20")
    assert failed.returncode == 1
    assert "RuntimeError: stopped at step 20" in failed.stderr
    resumed = run(torch_python, *common, "resume=true")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step 20" in resumed.stdout
    assert [line["step"] for line in metrics_of(tmp_path)] == [0, 10, 20, 30]


#: The trainer, then the threads of gloo that are left of it, in a file of each rank.
THREADS_LEFT = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
from charlm import train
train.main(sys.argv[1:])
names = [open(f"/proc/self/task/{n}/comm").read() for n in os.listdir("/proc/self/task")]
with open(f"{__file__}.rank{os.environ['RANK']}", "w") as f:
    f.write(str([name.strip() for name in names if "gloo" in name]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are read from /proc")
def test_gloo_s_threads_end_with_the_process_group(torch_python: str, tmp_path: Path) -> None:
    script = tmp_path / "threads_left.py"
    script.write_text(THREADS_LEFT)
    settings = (f"out_dir={tmp_path}", "steps=1", "max_chars=20000")
    result = run(torch_python, *TORCHRUN, str(script), str(EXAMPLE.parent), *settings)
    assert result.returncode == 0, result.stderr
    # one that frees a tensor while the interpreter exits aborts the process
    left = [Path(f"{script}.rank{rank}").read_text() for rank in (0, 1)]
    assert left == ["[]", "[]"]
