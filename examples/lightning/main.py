"""Train a small network on handwritten-like digits with LightningCLI.

    python main.py fit --config config.yaml --seed_everything 1

The digits are drawn by this program: nothing is downloaded.
"""

from typing import Any, Tuple

import lightning as L
import torch
from lightning.pytorch.cli import LightningCLI
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

#: The digits in three columns and five rows of pixels.
FONT = (
    "111101101101111 010110010010111 111001111100111 111001111001111 101101111001001 "
    "111100111001111 111100111101111 111001001001001 111101111101111 111101111001111"
).split()


class Digits(L.LightningDataModule):
    """Pictures of the ten digits, with noise."""

    def __init__(self, batch_size: int = 32, size: int = 4000, noise: float = 0.6) -> None:
        """
        Args:
            batch_size: Pictures in a batch.
            size: How many there are to train on; a quarter as many are there to validate.
            noise: Its standard deviation, where a pixel is 0 or 1.
        """
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        """Draw the pictures."""
        font = torch.tensor([[float(bit) for bit in digit] for digit in FONT])
        generator = torch.Generator().manual_seed(0)

        def draw(count: int) -> TensorDataset:
            labels = torch.randint(10, (count,), generator=generator)
            noise = torch.randn(count, font.shape[1], generator=generator)
            return TensorDataset(font[labels] + self.hparams.noise * noise, labels)

        self.train_set, self.val_set = draw(self.hparams.size), draw(self.hparams.size // 4)

    def train_dataloader(self) -> DataLoader:
        """The pictures to train on, in a new order each epoch."""
        return DataLoader(self.train_set, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """The pictures to validate on."""
        return DataLoader(self.val_set, batch_size=250)


class Classifier(L.LightningModule):
    """A network with one hidden layer."""

    def __init__(self, width: int = 64, lr: float = 0.001) -> None:
        """
        Args:
            width: Units in the hidden layer.
            lr: The learning rate.
        """
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(15, width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: Tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log how well a batch is recognized."""
        logits = self.net(batch[0])
        self.log("val/loss", F.cross_entropy(logits, batch[1]), prog_bar=True)
        self.log("val/acc", (logits.argmax(1) == batch[1]).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


if __name__ == "__main__":
    LightningCLI(Classifier, Digits)
