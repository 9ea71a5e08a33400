"""Train a character bigram model with SGD, with nothing but the standard library.

    python train.py config/default.py out_dir=out/first seed=1 learning_rate=0.3

A table of logits, one row for each character, learns which character comes next. It takes a
few seconds, and its loss falls from the logarithm of the alphabet's size to the entropy of a
pair of characters.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared import corpus, settings
from shared.metrics import Metrics

SIZE = len(corpus.ALPHABET)
Table = List[List[float]]
Pairs = Dict[int, Dict[int, int]]


@dataclass
class Settings:
    """What the config file and the arguments may set."""

    out_dir: str = "out"
    seed: int = 1337
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 0.3
    #: The learning rate falls in a straight line to this fraction of itself.
    final_lr_fraction: float = 0.1
    eval_interval: int = 50
    max_chars: int = 400_000
    #: Stop with an error at this step, to rehearse a failed run. 0 = never.
    abort_at_step: int = 0
    #: Given where DATA_DIR is set. The text comes with this example.
    data_dir: str = ""
    wandb_log: bool = False
    wandb_project: str = "bigram"
    wandb_group: str = ""
    wandb_run_name: str = ""


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities of `logits`."""
    top = max(logits)
    powers = [math.exp(x - top) for x in logits]
    total = sum(powers)
    return [p / total for p in powers]


def count_pairs(codes: Sequence[int]) -> Pairs:
    """How often each character follows each other one."""
    pairs: Pairs = {}
    for (before, after), n in Counter(zip(codes, codes[1:])).items():
        pairs.setdefault(before, {})[after] = n
    return pairs


def mean_loss(table: Table, pairs: Pairs) -> float:
    """Cross-entropy in nats over all of `pairs`."""
    loss, total = 0.0, 0
    for before, followers in pairs.items():
        chances = softmax(table[before])
        for after, n in followers.items():
            loss -= n * math.log(max(chances[after], 1e-300))
            total += n
    return loss / total


def train(wanted: Settings, metrics: Metrics) -> Table:
    """The table after `wanted.steps` batches."""
    draw = random.Random(wanted.seed)
    codes, held_out = corpus.load(wanted.max_chars)
    seen, unseen = count_pairs(codes), count_pairs(held_out)
    table = [[draw.gauss(0.0, 0.02) for _ in range(SIZE)] for _ in range(SIZE)]
    print(f"{len(codes)} characters to train on, {SIZE * SIZE} parameters", flush=True)
    for step in range(wanted.steps + 1):
        done = step / max(wanted.steps, 1)
        lr = wanted.learning_rate * (1 - (1 - wanted.final_lr_fraction) * done)
        if step % wanted.eval_interval == 0 or step == wanted.steps:
            metrics.record(step, mean_loss(table, seen), mean_loss(table, unseen), lr)
        if wanted.abort_at_step and step == wanted.abort_at_step:
            raise RuntimeError(f"stopped at step {step}, as abort_at_step asked")
        if step < wanted.steps:
            learn(table, codes, lr, wanted.batch_size, draw)
    return table


def learn(
    table: Table, codes: Sequence[int], lr: float, batch_size: int, draw: random.Random
) -> None:
    """One batch of stochastic gradient descent."""
    for _ in range(batch_size):
        at = draw.randrange(len(codes) - 1)
        row = table[codes[at]]
        step = [lr * chance for chance in softmax(row)]
        step[codes[at + 1]] -= lr
        row[:] = [logit - change for logit, change in zip(row, step)]


def save(table: Table, path: Path) -> None:
    """Write the model whole or not at all."""
    rounded = [[round(logit, 4) for logit in row] for row in table]
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps({"alphabet": corpus.ALPHABET, "logits": rounded}))
    part.replace(path)


def main(argv: Sequence[str]) -> None:
    """Read the settings, train, save."""
    wanted = settings.read(Settings, argv)
    with Metrics(wanted) as metrics:
        table = train(wanted, metrics)
    save(table, Path(wanted.out_dir) / "model.json")
    print(f"saved {wanted.out_dir}/model.json", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
