"""Fit a small network to a noisy function, configured by Hydra.

python train.py seed=2 optimizer=sgd
"""

import logging
import os
from pathlib import Path
from typing import Dict

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

log = logging.getLogger(__name__)


def sample(count: int, generator: torch.Generator) -> Tensor:
    """Points of the function: three coordinates and its value."""
    x = torch.rand(count, 3, generator=generator) * 4 - 2
    y = torch.sin(x[:, 0]) * x[:, 1] + 0.5 * x[:, 2] ** 2
    return torch.cat([x, y[:, None]], 1)


def save(path: Path, state: Dict[str, object]) -> None:
    """Write a checkpoint, whole or not at all."""
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Train as the config says; the last validation error, for Hydra's sweepers."""
    out = Path(HydraConfig.get().runtime.output_dir)
    torch.manual_seed(cfg.seed)
    generator = torch.Generator().manual_seed(0)
    train, val = sample(4000, generator), sample(1000, generator)
    model = nn.Sequential(nn.Linear(3, cfg.width), nn.Tanh(), nn.Linear(cfg.width, 1))
    optimizer = hydra.utils.instantiate(cfg.optimizer, params=model.parameters())
    first = 0
    if cfg.resume_from:
        saved = torch.load(cfg.resume_from, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
        first = saved["step"]
        log.info("resumed from %s at step %d", cfg.resume_from, first)
    if cfg.mlflow:
        import mlflow

        mlflow.start_run(run_name=f"seed{cfg.seed}")
        mlflow.log_params(OmegaConf.to_container(cfg, resolve=True))
    val_mse = float("nan")
    for step in range(first + 1, cfg.steps + 1):
        batch = train[torch.randint(len(train), (cfg.batch_size,))]
        loss = F.mse_loss(model(batch[:, :3]), batch[:, 3:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % cfg.log_every == 0 or step == cfg.steps:
            with torch.no_grad():
                val_mse = F.mse_loss(model(val[:, :3]), val[:, 3:]).item()
            log.info(
                "step %d/%d train_mse=%.5f val_mse=%.5f", step, cfg.steps, loss.item(), val_mse
            )
            if cfg.mlflow:
                mlflow.log_metrics({"train_mse": loss.item(), "val_mse": val_mse}, step=step)
        if step % cfg.checkpoint_every == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save(out / f"ckpt_{step}.pt", {**state, "rng": torch.get_rng_state(), "step": step})
    return val_mse


if __name__ == "__main__":
    main()
