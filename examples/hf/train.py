"""Train a small GPT-2 on bytes with the Trainer of transformers.

The model is made from a config, and the text is Python's own standard library: nothing is
downloaded.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from torch.utils.data import Dataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


@dataclass
class ModelArguments:
    """The shape of the model."""

    n_embd: int = field(default=32, metadata={"help": "width of the model"})
    n_layer: int = field(default=2, metadata={"help": "number of its blocks"})
    block_size: int = field(default=64, metadata={"help": "bytes that it sees at once"})


@dataclass
class DataArguments:
    """The text to train on."""

    train_file: Optional[str] = field(
        default=None, metadata={"help": "a text file; without it, a module of Python's library"}
    )
    max_bytes: int = field(default=100_000, metadata={"help": "how much of the text is used"})


class Blocks(Dataset):
    """Pieces of a text that are `size` bytes long."""

    def __init__(self, text: bytes, size: int) -> None:
        count = len(text) // size
        self.blocks = torch.tensor(list(text[: count * size])).view(count, size)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Dict[str, torch.Tensor]:
        return {"input_ids": self.blocks[index], "labels": self.blocks[index]}


def read_text(data: DataArguments) -> Tuple[bytes, bytes]:
    """The first nine tenths of the text, to train on, and the rest, to evaluate."""
    text = Path(data.train_file or argparse.__file__).read_bytes()[: data.max_bytes]
    split = len(text) * 9 // 10
    return text[:split], text[split:]


def main() -> None:
    """Train, evaluate and save as the arguments say."""
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    parser.set_defaults(do_train=True, do_eval=True, max_steps=200, learning_rate=1e-3)
    parser.set_defaults(logging_steps=10, save_steps=50, eval_strategy="steps", eval_steps=50)
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)
    train_text, eval_text = read_text(data_args)
    config = GPT2Config(
        vocab_size=256,
        n_positions=model_args.block_size,
        n_embd=model_args.n_embd,
        n_layer=model_args.n_layer,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=training_args,
        train_dataset=Blocks(train_text, model_args.block_size),
        eval_dataset=Blocks(eval_text, model_args.block_size),
    )
    if training_args.do_train:
        result = trainer.train(resume_from_checkpoint=training_args.resume_from_checkpoint)
        trainer.save_model()
        trainer.log_metrics("train", result.metrics)
        trainer.save_metrics("train", result.metrics)
        trainer.save_state()
    if training_args.do_eval:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)


if __name__ == "__main__":
    main()
