from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "bigram"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-W", "error", "train.py", *arguments]
    return subprocess.run(argv, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)


def trained(out: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run("config/default.py", f"out_dir={out}", "steps=150", "max_chars=100000", *arguments)
    assert result.returncode == 0, result.stderr
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def without_times(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "elapsed_s"} for line in metrics]


def test_loss_falls_on_text_that_was_trained_on_and_on_text_that_was_not(tmp_path: Path) -> None:
    metrics = trained(tmp_path, "seed=1")
    first, last = metrics[0], metrics[-1]
    assert [line["step"] for line in metrics] == [0, 50, 100, 150]
    assert first["train_loss"] > 4.5  # the logarithm of the alphabet's size
    assert last["train_loss"] < 2.7
    assert last["val_loss"] < 3.3
    assert set(last) == {"step", "train_loss", "val_loss", "lr", "elapsed_s"}


def test_same_seed_gives_the_same_numbers_and_model(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", "seed=7")
    two = trained(tmp_path / "two", "seed=7")
    other = trained(tmp_path / "other", "seed=8")
    assert without_times(one) == without_times(two) != without_times(other)
    assert (tmp_path / "one/model.json").read_bytes() == (tmp_path / "two/model.json").read_bytes()


def test_the_learning_rate_matters(tmp_path: Path) -> None:
    slow = trained(tmp_path / "slow", "learning_rate=0.03")
    quick = trained(tmp_path / "quick", "learning_rate=0.3")
    assert quick[-1]["train_loss"] < slow[-1]["train_loss"] - 0.2


def test_model_is_written_only_by_a_run_that_ended_well(tmp_path: Path) -> None:
    result = run(f"out_dir={tmp_path}", "steps=20", "abort_at_step=10", "eval_interval=10")
    assert result.returncode == 1
    assert "RuntimeError: stopped at step 10" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    config = tmp_path / "wrong.py"
    config.write_text("steps = 10\nlayers = 3\nimport os\nseed = __import__('os').getpid()\n")
    result = run(str(config), f"out_dir={tmp_path / 'out'}", "seed=x", "nonsense=1")
    assert result.returncode == 1
    assert f"{config}:2: unknown key 'layers'. Known: abort_at_step, " in result.stderr
    assert f"{config}:3: not a 'key = value' line." in result.stderr
    assert f"{config}:4: not a plain value" in result.stderr
    assert "seed: 'x' is not of type int." in result.stderr
    assert "unknown key 'nonsense'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_wandb_that_is_asked_for_and_missing_is_said(tmp_path: Path) -> None:
    hidden = tmp_path / "wandb.py"
    hidden.write_text("raise ImportError('hidden')\n")
    argv = [sys.executable, "train.py", f"out_dir={tmp_path}", "wandb_log=True", "steps=1"]
    result = subprocess.run(
        argv,
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1
    assert "wandb_log is on, but wandb is not installed" in result.stderr
