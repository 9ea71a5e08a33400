"""Train a small network to tell two spirals apart. Plain torch, arguments by argparse.

    python train.py --work-dir out --lr 0.01 --seed 1

The spirals are made by this program: nothing is downloaded.
"""

import argparse
import math
import os
from pathlib import Path
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def spirals(count: int, noise: float) -> TensorDataset:
    """Points on two spirals with noise, and which of them each is on."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (count,), generator=generator)
    angle = 2 * math.pi * torch.rand(count, generator=generator).sqrt()
    turned = angle + math.pi * labels
    points = torch.stack([turned.cos(), turned.sin()], 1) * (angle / math.pi)[:, None]
    return TensorDataset(points + noise * torch.randn(count, 2, generator=generator), labels)


def train(
    model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, epoch: int, every: int
) -> None:
    """Train for one epoch."""
    model.train()
    for number, (points, labels) in enumerate(loader):
        loss = F.cross_entropy(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % every == 0:
            seen, size = number * len(points), len(loader.dataset)
            share = 100 * number / len(loader)
            print(f"Train Epoch: {epoch} [{seen}/{size} ({share:.0f}%)]\tLoss: {loss.item():.6f}")


def test(model: nn.Module, points: Tensor, labels: Tensor) -> Tuple[float, int]:
    """The mean loss and the number of points that are classified correctly."""
    model.eval()
    with torch.no_grad():
        logits = model(points)
    return F.cross_entropy(logits, labels).item(), int((logits.argmax(1) == labels).sum())


def main() -> None:
    """Train as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("out"), help="where it writes to")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--noise", type=float, default=0.05, help="of the points")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=20)
    parser.add_argument("--save-interval", type=int, default=5, help="epochs between checkpoints")
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from")
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    loader = DataLoader(spirals(4000, args.noise), args.batch_size, shuffle=True)
    test_points, test_labels = spirals(1000, args.noise).tensors
    model = nn.Sequential(
        nn.Linear(2, args.width), nn.ReLU(), nn.Linear(args.width, args.width), nn.ReLU(),
        nn.Linear(args.width, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    first = 1
    if args.resume is not None:
        saved = torch.load(args.resume, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
        first = saved["epoch"] + 1
        print(f"Resumed from {args.resume} after epoch {saved['epoch']}")
    for epoch in range(first, args.epochs + 1):
        train(model, loader, optimizer, epoch, args.log_interval)
        loss, right = test(model, test_points, test_labels)
        share = 100 * right / len(test_labels)
        print(
            f"\nTest set: Average loss: {loss:.4f}, "
            f"Accuracy: {right}/{len(test_labels)} ({share:.0f}%)\n"
        )
        if epoch % args.save_interval == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            path = args.work_dir / f"ckpt_epoch{epoch}.pt"
            torch.save(
                {**state, "rng": torch.get_rng_state(), "epoch": epoch}, path.with_suffix(".tmp")
            )
            os.replace(path.with_suffix(".tmp"), path)


if __name__ == "__main__":
    main()
