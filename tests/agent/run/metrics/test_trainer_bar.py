"""The progress bar of Hugging Face's Trainer says the step before the first checkpoint."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.agent.run.metrics.sources import RunMetrics

# as transformers 5 prints it: the bar of the evaluation looks the same
LINES = """\
Loading weights: 100%|##########| 20/20 [00:00<00:00, 900.00it/s]
  0%|          | 0/9 [00:00<?, ?it/s]
100%|##########| 9/9 [00:00<00:00, 23.98it/s]
  0%|          | 0/48 [00:00<?, ?it/s]
 10%|#         | 5/48 [00:02<00:20,  2.10it/s]
{'loss': '3.04', 'grad_norm': '1.02', 'learning_rate': '4.5e-05', 'epoch': '0.31'}
100%|##########| 9/9 [00:00<00:00, 23.98it/s]
{'eval_loss': '3.01', 'eval_runtime': '0.4', 'epoch': '0.31'}
 15%|#5        | 7/48 [00:03<00:20,  2.10it/s]
"""


def seen(text: str, out: Path) -> tuple[int | None, int | None]:
    """The step and the number of steps of a row that printed `text`, while it runs."""
    metrics = RunMetrics(str(out))
    metrics.take_log(text)
    metrics.update()
    return metrics.live_values.step, metrics.live_values.total_steps


def test_the_bar_ahead_of_a_training_loss_says_the_step(tmp_path: Path) -> None:
    assert seen(LINES, tmp_path) == (7, 48)


def test_a_bar_without_such_a_report_says_nothing(tmp_path: Path) -> None:
    bars = "".join(line for line in LINES.splitlines(True) if "loss" not in line)
    assert seen(bars, tmp_path) == (None, None)


def test_the_bar_brings_no_metric_and_no_report(tmp_path: Path) -> None:
    metrics = RunMetrics(str(tmp_path))
    metrics.take_log(LINES)
    metrics.finish()
    assert metrics.values.points == 2
    assert metrics.values.summary()["step"] == 7
    assert set(metrics.values.sources.values()) == {"log"}
