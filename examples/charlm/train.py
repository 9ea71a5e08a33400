"""Train a small character transformer with torch's DistributedDataParallel.

    torchrun --standalone --nproc_per_node=2 train.py config/default.py out_dir=out/first seed=1
    python train.py config/default.py out_dir=out/first seed=1

Gradients are averaged over all processes: with nccl where there are GPUs, with gloo where
there are none. Rank 0 writes `metrics.jsonl` and `ckpt.pt`; with `resume=true` a run goes on
from the checkpoint that an earlier attempt left.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import torch
import torch.distributed as dist

# Import this before the process group exists. torch.optim and DDP import it too, but later, and
# then its functions keep the group as a default argument: destroy_process_group() does not end
# gloo's threads, and a thread that frees a tensor while the interpreter exits aborts the process.
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from charlm.model import CharTransformer
from shared import corpus, settings
from shared.metrics import Metrics


@dataclass
class Settings:
    """What the config file and the arguments may set."""

    out_dir: str = "out"
    seed: int = 1337
    steps: int = 150
    #: Sequences of each process in a step.
    batch_size: int = 16
    context: int = 64
    layers: int = 2
    heads: int = 4
    width: int = 64
    learning_rate: float = 0.003
    warmup_steps: int = 10
    eval_interval: int = 25
    eval_batches: int = 4
    #: Steps between two checkpoints; there is always one at the end.
    checkpoint_interval: int = 50
    max_chars: int = 400_000
    resume: bool = False
    #: Stop with an error at this step, to rehearse a failed run. 0 = never.
    abort_at_step: int = 0
    #: Given where DATA_DIR is set. The text comes with this example.
    data_dir: str = ""
    wandb_log: bool = False
    wandb_project: str = "charlm"
    wandb_group: str = ""
    wandb_run_name: str = ""


class World:
    """This process's place among the processes of the run."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(self.device)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def join(self) -> None:
        """Join the process group, if there are other processes."""
        if self.size > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    def mean(self, value: Tensor) -> float:
        """The mean of `value` over all processes."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return float(value) / self.size

    def leave(self) -> None:
        """Wait until all processes are done, then leave the process group.

        The DistributedDataParallel must be deleted before: it refers to the group, and gloo's
        threads end with the last reference.
        """
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


def batch(text: Tensor, wanted: Settings, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random pieces of `text`, and the same pieces one character later."""
    starts = torch.randint(len(text) - wanted.context - 1, (wanted.batch_size,), generator=draw)
    rows = starts[:, None] + torch.arange(wanted.context + 1)
    pieces = text[rows.to(text.device)]
    return pieces[:, :-1], pieces[:, 1:]


def loss_of(model: nn.Module, codes: Tensor, following: Tensor) -> Tensor:
    """Cross-entropy in nats for each character."""
    return functional.cross_entropy(model(codes).flatten(0, 1), following.flatten())


@torch.no_grad()
def mean_loss(model: nn.Module, text: Tensor, wanted: Settings, world: World) -> float:
    """Loss over the same few pieces of `text` every time, other pieces in each process."""
    draw = torch.Generator().manual_seed(world.rank)
    model.eval()
    losses = [loss_of(model, *batch(text, wanted, draw)) for _ in range(wanted.eval_batches)]
    model.train()
    return world.mean(torch.stack(losses).mean())


def learning_rate(wanted: Settings, step: int) -> float:
    """A short rise, then a straight line down to a tenth."""
    if step < wanted.warmup_steps:
        return wanted.learning_rate * (step + 1) / wanted.warmup_steps
    return wanted.learning_rate * (1 - 0.9 * step / max(wanted.steps, 1))


class Checkpoint:
    """`ckpt.pt` in the run's directory: written whole or not at all."""

    def __init__(self, wanted: Settings) -> None:
        self.path = Path(wanted.out_dir) / "ckpt.pt"

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        part = self.path.with_name(self.path.name + ".part")
        torch.save(state, part)
        part.replace(self.path)

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: Any) -> int:
        """The step to go on from; 0 where there is no checkpoint."""
        if not self.path.exists():
            return 0
        state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])


def train(wanted: Settings, world: World) -> None:
    """The whole run of one process."""
    torch.manual_seed(wanted.seed)  # the same first weights in every process
    model = CharTransformer(
        len(corpus.ALPHABET), wanted.context, wanted.layers, wanted.heads, wanted.width
    ).to(world.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=wanted.learning_rate)
    checkpoint = Checkpoint(wanted)
    start = checkpoint.load(model, optimizer, world.device) if wanted.resume else 0
    shared = model if world.size == 1 else DistributedDataParallel(model)
    codes, held_out = (torch.tensor(t, device=world.device) for t in corpus.load(wanted.max_chars))
    # other pieces of text in each process, and after a resume
    draw = torch.Generator().manual_seed((wanted.seed * 1009 + start) * 1009 + world.rank)

    if world.first:
        parameters = sum(p.numel() for p in model.parameters())
        print(
            f"{parameters} parameters, {world.size} processes on {world.device.type}, "
            f"{'resumed' if start else 'begun'} at step {start}",
            flush=True,
        )
    with Metrics(wanted, start) if world.first else nullcontext() as metrics:
        for step in range(start, wanted.steps + 1):
            lr = learning_rate(wanted, step)
            last = step == wanted.steps
            if last or step % wanted.eval_interval == 0:
                seen = mean_loss(model, codes, wanted, world)
                unseen = mean_loss(model, held_out, wanted, world)
                if metrics is not None:
                    metrics.record(step, seen, unseen, lr)
            if world.first and (last or (step > start and step % wanted.checkpoint_interval == 0)):
                checkpoint.save(step, model, optimizer)
            if wanted.abort_at_step and step == wanted.abort_at_step:
                raise RuntimeError(f"stopped at step {step}, as abort_at_step asked")
            if not last:
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.zero_grad(set_to_none=True)
                loss_of(shared, *batch(codes, wanted, draw)).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
    if world.first:
        print(f"saved {checkpoint.path}", flush=True)


def main(argv: Sequence[str]) -> None:
    """Read the settings, train with the other processes, leave the process group."""
    wanted = settings.read(Settings, argv)
    world = World()
    if world.first:
        print(f"settings: {dataclasses.asdict(wanted)}", flush=True)
    world.join()
    train(wanted, world)
    world.leave()


if __name__ == "__main__":
    main(sys.argv[1:])
