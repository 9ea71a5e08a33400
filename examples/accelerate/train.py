"""Train a small recurrent network to continue waves, with Accelerate.

    accelerate launch --cpu --num_processes 1 train.py --output_dir out --seed 1

The waves are made by this program: nothing is downloaded.
"""

import argparse
import math
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from tqdm.auto import tqdm

logger = get_logger(__name__)


class Forecaster(nn.Module):
    """Predicts the next value of a series at each of its values."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, series: Tensor) -> Tensor:
        """The predictions for a batch of series."""
        return self.head(self.rnn(series[..., None])[0])[..., 0]


def waves(count: int, length: int = 33) -> TensorDataset:
    """Sums of two sines with noise; the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(length) / 4
    frequency = 0.5 + 1.5 * torch.rand(2, count, 1, generator=generator)
    phase = 2 * math.pi * torch.rand(2, count, 1, generator=generator)
    series = torch.sin(frequency * at + phase).sum(0)
    return TensorDataset(series + 0.05 * torch.randn(count, length, generator=generator))


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, default=Path("out"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_train_epochs", type=int, default=8)
    parser.add_argument("--per_device_train_batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=5e-3)
    parser.add_argument("--hidden_size", type=int, default=32)
    parser.add_argument(
        "--checkpointing_steps", type=int, default=100, help="steps between two checkpoints"
    )
    parser.add_argument("--resume_from_checkpoint", type=Path, help="a folder step_N to go on from")
    parser.add_argument("--with_tracking", action="store_true", help="log to a tracker too")
    parser.add_argument("--report_to", default="wandb", help="the tracker")
    return parser.parse_args(argv)


def evaluate(accelerator: Accelerator, model: nn.Module, loader: DataLoader) -> float:
    """The mean error on the series of `loader`."""
    model.eval()
    losses = []
    with torch.no_grad():
        for (series,) in loader:
            loss = F.mse_loss(model(series[:, :-1]), series[:, 1:])
            losses.append(accelerator.gather_for_metrics(loss.repeat(len(series))))
    model.train()
    return torch.cat(losses).mean().item()


def position(args: argparse.Namespace, steps_per_epoch: int) -> Tuple[int, int]:
    """The epoch and the step in it that a checkpoint was written at."""
    if args.resume_from_checkpoint is None:
        return 0, 0
    return divmod(int(args.resume_from_checkpoint.name.partition("_")[2]), steps_per_epoch)


def main() -> None:
    """Train and evaluate as the arguments say."""
    args = parse_args()
    accelerator = Accelerator(
        log_with=args.report_to if args.with_tracking else None, project_dir=args.output_dir
    )
    set_seed(args.seed)
    train_loader = DataLoader(waves(1600), args.per_device_train_batch_size, shuffle=True)
    eval_loader = DataLoader(waves(320), 160)
    model = Forecaster(args.hidden_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    model, optimizer, train_loader, eval_loader = accelerator.prepare(
        model, optimizer, train_loader, eval_loader
    )
    if args.with_tracking:
        settings = {k: str(v) for k, v in vars(args).items()}
        accelerator.init_trackers("waves", config=settings)
    first_epoch, skipped = position(args, len(train_loader))
    if args.resume_from_checkpoint is not None:
        accelerator.load_state(args.resume_from_checkpoint)
        accelerator.print(f"Resumed from checkpoint: {args.resume_from_checkpoint}")
    total = args.num_train_epochs * len(train_loader)
    done = first_epoch * len(train_loader) + skipped
    bar = tqdm(
        total=total, initial=done, disable=not accelerator.is_local_main_process, mininterval=0.1
    )
    for epoch in range(first_epoch, args.num_train_epochs):
        if hasattr(train_loader, "set_epoch"):
            train_loader.set_epoch(epoch)
        batches = train_loader
        if epoch == first_epoch and skipped:
            batches = accelerator.skip_first_batches(train_loader, skipped)
        for (series,) in batches:
            loss = F.mse_loss(model(series[:, :-1]), series[:, 1:])
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            bar.update(1)
            bar.set_postfix(loss=loss.item())
            if done % args.checkpointing_steps == 0:
                accelerator.save_state(args.output_dir / f"step_{done}")
        metrics: Dict[str, float] = {
            "train_loss": accelerator.reduce(loss.detach(), "mean").item(),
            "eval_loss": evaluate(accelerator, model, eval_loader),
        }
        accelerator.log({**metrics, "epoch": epoch}, step=done)
        accelerator.print(f"epoch {epoch}: {metrics}")
    bar.close()
    accelerator.wait_for_everyone()
    accelerator.save_model(model, args.output_dir / "final")
    accelerator.end_training()


if __name__ == "__main__":
    main()
