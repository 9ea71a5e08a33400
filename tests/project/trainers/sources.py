"""Small repositories of each family: their files, and the command that trains them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A repository, and what `wf init` has to propose for it."""

    trainer: str
    files: dict[str, str]
    #: The command behind `launch `.
    command: str
    #: The sweep's rows as `config|overrides`; without a config column `|overrides`.
    rows: tuple[str, ...]
    workdir: str = "."
    launcher: str = "python"
    install: str = ""
    #: Words of the notes, each in one of them.
    notes: tuple[str, ...] = field(default=())


ARGPARSE = """
import argparse
import torch
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("-o", "--work-dir", default="out")
parser.add_argument("--lr", "--learning-rate", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--quiet", action="store_true")
args = parser.parse_args()
loss = torch.zeros(1); loss.backward()
"""
CONFIGURATOR = "import sys\nfor a in sys.argv[1:]:\n    key, val = a.split('=')\n"
HYDRA = """
import hydra
@hydra.main(version_base="1.3", config_path="../configs", config_name="train.yaml")
def main(cfg):
    loss.backward()
"""
HF = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser, Trainer, TrainingArguments
@dataclass
class ModelArguments:
    model_name_or_path: str = field(metadata={"help": "the model"})
    cache_dir: str = field(default=None)
def main():
    args = HfArgumentParser((ModelArguments, TrainingArguments)).parse_args_into_dataclasses()
    if args.do_train:
        Trainer().train()
"""

SOURCES = {
    "argparse": Source(
        "argparse",
        {"train.py": ARGPARSE, "requirements.txt": "torch\n", "README.md": ""},
        'train.py --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
        install="pip install -r requirements.txt",
    ),
    "nanogpt": Source(
        "nanogpt",
        {
            "train.py": "out_dir = 'out'\nlearning_rate = 6e-4\n"
            "exec(open('configurator.py').read())\nloss.backward()\n",
            "configurator.py": CONFIGURATOR,
            "config/eval_gpt2.py": "",
            "config/train_gpt2.py": "",
        },
        'train.py "$CONFIG" --out_dir="$TRAIN_OUT_DIR"',
        ("config/train_gpt2.py|", "config/train_gpt2.py|--learning_rate=0.0003"),
        notes=("No argument for the seed", "For the column config: config/train_gpt2.py"),
    ),
    "hf": Source(
        "hf",
        {"run_glue.py": HF, "run_eval.py": HF},
        'run_glue.py --output_dir="$TRAIN_OUT_DIR" --seed="$SEED" --do_train '
        "--model_name_or_path=CHANGE_ME "
        '${RESUME_FROM:+--resume_from_checkpoint="$RESUME_FROM"}',
        ("|", "|--learning_rate=0.0001"),
        notes=("Replace each CHANGE_ME",),
    ),
    "hydra": Source(
        "hydra",
        {
            "src/train.py": HYDRA,
            "src/eval.py": HYDRA,
            "configs/train.yaml": "defaults:\n  - model: mnist\nseed: 1  # x\nckpt_path: null\n",
            "configs/model/mnist.yaml": "config: x\nresume: x\noptimizer:\n  lr: 0.001\n",
            "configs/experiment/wide.yaml": "",
            "setup.py": "",
        },
        'src/train.py ${CONFIG:++experiment="$CONFIG"} hydra.run.dir="$TRAIN_OUT_DIR" '
        'seed="$SEED" ${RESUME_FROM:+ckpt_path="$RESUME_FROM"}',
        ("|", "|model.optimizer.lr=0.0005"),
        install="pip install -e .",
        notes=("For the column config: wide",),
    ),
    "lightning": Source(
        "lightning",
        {
            "main.py": "from lightning.pytorch.cli import LightningCLI\nLightningCLI()\n",
            "config.yaml": "",
            "environment.yml": "",
        },
        'main.py fit --config="$CONFIG" --trainer.default_root_dir="$TRAIN_OUT_DIR" '
        '--seed_everything="$SEED" ${RESUME_FROM:+--ckpt_path="$RESUME_FROM"}',
        ("config.yaml|", "config.yaml|--trainer.max_epochs=2"),
        notes=("environment.yml is for conda",),
    ),
    "accelerate": Source(
        "accelerate",
        {
            "train.py": "from accelerate import Accelerator\nfrom opts import parse\n"
            "Accelerator().backward(loss)\n",
            "opts.py": "import argparse\nparser = argparse.ArgumentParser()\n"
            "parser.add_argument('--output_dir')\nparser.add_argument('data_dir')\n",
        },
        'train.py --output_dir="$TRAIN_OUT_DIR" CHANGE_ME',
        ("|",),
        launcher="accelerate",
    ),
    "click": Source(
        "argparse",
        {
            "train.py": "import click\n@click.command()\n@click.option('-o', '--out')\n"
            "@click.option('--lr', default=0.1)\ndef main(out, lr): loss.backward()\n"
        },
        'train.py --out="$TRAIN_OUT_DIR"',
        ("|", "|--lr=0.05"),
    ),
    "typer": Source(
        "argparse",
        {
            "train.py": "import typer\ndef main(save_dir: str = 'x', random_seed: int = 1, "
            "lr: float = typer.Option(0.2)): loss.backward()\ntyper.run(main)\n"
        },
        'train.py --save-dir="$TRAIN_OUT_DIR" --random-seed="$SEED"',
        ("|", "|--lr=0.1"),
    ),
    "fire": Source(
        "argparse",
        {
            "train.py": "import fire\ndef main(out_dir='x', seed=1): loss.backward()\n"
            "fire.Fire(main)\n"
        },
        'train.py --out_dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|"),
    ),
    "tyro": Source(
        "argparse",
        {
            "train.py": "import tyro\nfrom dataclasses import dataclass\n@dataclass\nclass Optim:\n"
            "    lr: float = 0.1\n@dataclass\nclass Args:\n    optim: Optim\n    seed: int = 1\n"
            "    log_dir: str = 'runs'\ntyro.cli(Args)\nloss.backward()\n"
        },
        'train.py --log_dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--optim.lr=0.05"),
    ),
    "absl": Source(
        "argparse",
        {
            "main.py": "from absl import flags\nfrom ml_collections import config_flags\n"
            "flags.DEFINE_string('workdir', None, 'x', required=True)\n"
            "config_flags.DEFINE_config_file('config')\ntrain_step()\n",
            "configs/default.py": "",
        },
        'main.py --config="$CONFIG" --workdir="$TRAIN_OUT_DIR"',
        ("configs/default.py|",),
    ),
    "a module": Source(
        "argparse",
        {"pkg/__init__.py": "", "pkg/train.py": "from . import model\n" + ARGPARSE},
        '-m pkg.train --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
    ),
    "a script beside its package": Source(
        "argparse",
        {"scripts/train.py": "from gpt.model import Model\n" + ARGPARSE, "gpt/model.py": ""},
        '-m scripts.train --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
    ),
    "a folder with the name of a library": Source(
        "argparse",
        {"argparse/train.py": ARGPARSE},
        'argparse/train.py --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
    ),
    "a script that finds its package": Source(
        "argparse",
        {
            "tools/train.py": "import sys\nsys.path.append('.')\nimport gpt\n" + ARGPARSE,
            "gpt/__init__.py": "",
        },
        'tools/train.py --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
    ),
    "arguments by their places": Source(
        "argparse",
        {
            "train.py": "import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('config')\np.add_argument('data')\np.add_argument('out_dir')\n"
            "p.add_argument('--log-dir', required=True)\nloss.backward()\n",
            "configs/base.py": "",
        },
        'train.py "$CONFIG" --log-dir="$TRAIN_OUT_DIR" CHANGE_ME "$TRAIN_OUT_DIR"',
        ("configs/base.py|",),
        notes=("Replace each CHANGE_ME",),
    ),
    "a folder of its own": Source(
        "argparse",
        {"mnist/main.py": ARGPARSE, "mnist/requirements.txt": ""},
        'main.py --work-dir="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|--lr=0.05"),
        workdir="mnist",
        install="pip install -r mnist/requirements.txt",
    ),
    "a file for the model": Source(
        "argparse",
        {
            "main.py": "import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('--save', default='out/model.pt')\nloss.backward()\n"
        },
        'main.py --save="$TRAIN_OUT_DIR/model.pt"',
        ("|",),
    ),
    "no folder for results": Source(
        "argparse",
        {
            "main.py": "import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('--lr', default=1.0)\nloss.backward()\n"
        },
        "main.py",
        ("|", "|--lr=0.5"),
        notes=('cd "$TRAIN_OUT_DIR" && launch "$OLDPWD"/main.py', "No argument for the seed"),
    ),
    "click's commands": Source(
        "argparse",
        {
            "cli.py": "from click import group, option\n@group()\n@option('--seed', default=1)\n"
            "def cli(seed): ...\n@cli.command()\n@option('--out-dir')\n"
            "def train(out_dir): loss.backward()\n@cli.command()\n"
            "@option('--checkpoint', required=True)\ndef evaluate(checkpoint): ...\n"
        },
        'cli.py --seed="$SEED" train --out-dir="$TRAIN_OUT_DIR"',
        ("|", "|"),
    ),
    "fire's functions": Source(
        "argparse",
        {
            "train.py": "from fire import Fire as run\ndef fit(out='x', lr=0.1): loss.backward()\n"
            "def test(data): ...\nrun({'train': fit, 'test': test})\n"
        },
        'train.py train --out="$TRAIN_OUT_DIR"',
        ("|", "|--lr=0.05"),
    ),
    "fire's methods": Source(
        "argparse",
        {
            "train.py": "import fire\nclass Model:\n    def train(self, out='x'): loss.backward()\n"
            "fire.Fire(Model)\n"
        },
        'train.py train --out="$TRAIN_OUT_DIR"',
        ("|",),
    ),
    "fire's module": Source(
        "argparse",
        {"train.py": "import fire\ndef train(out='x'): loss.backward()\nfire.Fire()\n"},
        'train.py train --out="$TRAIN_OUT_DIR"',
        ("|",),
    ),
    "jsonargparse": Source(
        "argparse",
        {
            "train.py": "from jsonargparse import auto_cli\n"
            "def main(out='x', seed=1): loss.backward()\nauto_cli(main)\n"
        },
        'train.py --out="$TRAIN_OUT_DIR" --seed="$SEED"',
        ("|", "|"),
    ),
    "hydra under another name": Source(
        "hydra",
        {"train.py": "from hydra import main as run\n@run()\ndef main(cfg): loss.backward()\n"},
        'train.py hydra.run.dir="$TRAIN_OUT_DIR"',
        ("|",),
    ),
    "a config with a fixed name": Source(
        "keyvalue",
        {
            "train.py": "from omegaconf import OmegaConf as om\n"
            "cfg = om.merge(om.load('config.yaml'), om.from_cli())\nloss.backward()\n",
            "config.yaml": "lr: 0.1\nseed: 1\nout_dir: out\n",
        },
        'train.py out_dir="$TRAIN_OUT_DIR" seed="$SEED"',
        ("|", "|lr=0.05"),
    ),
    "parts of configs": Source(
        "argparse",
        {
            "train.py": "import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('config')\np.add_argument('--work-dir')\nloss.backward()\n",
            "configs/_base_/model.py": "",
            "configs/small.py": "",
        },
        'train.py "$CONFIG" --work-dir="$TRAIN_OUT_DIR"',
        ("configs/small.py|",),
    ),
}
