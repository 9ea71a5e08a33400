"""Where a trainer's numbers go: `metrics.jsonl`, the log, and W&B if asked."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any


class Metrics:
    """Writes one JSON object a line to `<out_dir>/metrics.jsonl`, each flushed at once.

    `settings` is a trainer's dataclass with out_dir and the four wandb_ keys. A run that goes
    on from step `start` keeps what an earlier attempt wrote of the steps before it.
    """

    def __init__(self, settings: Any, start: int = 0) -> None:
        self._settings = settings
        self._start = start
        self._started = time.monotonic()
        self._wandb: Any = None

    def __enter__(self) -> Metrics:
        path = Path(self._settings.out_dir) / "metrics.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _lines_before(self._start, path)
        self._file = open(path, "w", encoding="utf-8")
        self._file.writelines(kept)
        if self._settings.wandb_log:
            self._wandb = _wandb(self._settings)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)

    def record(self, step: int, train_loss: float, val_loss: float, lr: float) -> None:
        """One evaluation: into the file, into the log, and to W&B."""
        line = {
            "step": step,
            "train_loss": round(train_loss, 6),
            "val_loss": round(val_loss, 6),
            "lr": round(lr, 8),
            "elapsed_s": round(time.monotonic() - self._started, 3),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        print(f"step {step}: train loss {train_loss:.4f}, val loss {val_loss:.4f}", flush=True)
        if self._wandb is not None:
            self._wandb.log(line, step=step)


def _lines_before(step: int, path: Path) -> list[str]:
    if step == 0 or not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < step]


def _wandb(settings: Any) -> Any:
    try:
        import wandb
    except ImportError:
        raise SystemExit(
            "wandb_log is on, but wandb is not installed. Install it, or set wandb_log=False."
        ) from None
    return wandb.init(
        project=settings.wandb_project,
        group=settings.wandb_group or None,
        name=settings.wandb_run_name or None,
        config=dataclasses.asdict(settings),
    )
