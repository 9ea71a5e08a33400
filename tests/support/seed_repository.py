"""A training repository of the shape that the workflow began with.

The trainer is in examples/nanogpt, reads its config as nanoGPT's configurator does, takes its
shards from the folder of the data set beside itself, which holds a tracked program, and imports a
package of the repository.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.support.repository import Upstream

WORKDIR = "examples/nanogpt"
DATA = f"{WORKDIR}/data/fineweb10B"
TRAIN_SHARD, VAL_SHARD = "fineweb_train_000001.bin", "fineweb_val_000000.bin"

_FILES = {
    # installs without a network: the backend is in the repository
    "pyproject.toml": """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["build_backend"]

[project]
name = "hyper-connections"
version = "0.1"
""",
    "build_backend/backend.py": """\
import os
import zipfile

NAME = "hyper_connections-0.1"
METADATA = "Metadata-Version: 2.1\\nName: hyper-connections\\nVersion: 0.1\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: backend\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = NAME + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("hyper_connections.pth", os.getcwd() + "\\n")
        wheel.writestr(NAME + ".dist-info/METADATA", METADATA)
        wheel.writestr(NAME + ".dist-info/WHEEL", WHEEL)
        wheel.writestr(NAME + ".dist-info/RECORD", "")
    return name
""",
    "hyper_connections/__init__.py": "STREAMS = 4\n",
    "figures/loss.png": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    f"{WORKDIR}/config/train_fineweb10B.py": """\
out_dir = "out-fineweb10B"
dataset = "fineweb10B"
max_iters = 2
""",
    f"{WORKDIR}/config/train_fineweb10B_mhc.py": """\
out_dir = "out-fineweb10B-mhc"
dataset = "fineweb10B"
max_iters = 2
hc_num_streams = 4
""",
    f"{DATA}/download.py": "raise SystemExit('the shards come from elsewhere')\n",
    f"{WORKDIR}/train.py": '''\
"""Train on FineWeb: `python train.py config/x.py key=value`."""

import glob
import os
import struct
import sys
from ast import literal_eval

import hyper_connections

out_dir = "out"
dataset = "fineweb10B"
data_dir = ""
seed = 1337
max_iters = 10
learning_rate = 6e-4
hc_num_streams = 1
wandb_log = False
wandb_project = "mhc"
wandb_group = ""
wandb_run_name = ""

for argument in sys.argv[1:]:
    if "=" not in argument:
        with open(argument) as file:
            exec(file.read())
        continue
    key, value = argument.split("=", 1)
    if key not in globals():
        raise ValueError(f"Unknown config key: {key}")
    try:
        typed = literal_eval(value)
    except (SyntaxError, ValueError):
        typed = value
    assert type(typed) == type(globals()[key]), key
    globals()[key] = typed


def tokens(split):
    here = os.path.dirname(os.path.abspath(__file__))
    pattern = os.path.join(here, "data", dataset, f"fineweb_{split}_*.bin")
    shards = sorted(glob.glob(pattern))
    assert shards, f"no shard matches {pattern}"
    with open(shards[0], "rb") as file:
        return struct.unpack("<256i", file.read(1024))[2]


print("data_dir", data_dir, "streams", hc_num_streams * hyper_connections.STREAMS // 4)
print("tokens", tokens("train"), tokens("val"))
os.makedirs(out_dir, exist_ok=True)
for iteration in range(1, max_iters + 1):
    print(f"iter {iteration}: loss {3 / iteration:.4f}, time 10.00ms")
with open(os.path.join(out_dir, "ckpt.pt"), "wb") as file:
    file.write(b"weights")
''',
}


def seed_repository(path: Path) -> Upstream:
    """A repository of that shape, on its branch `main`."""
    upstream = Upstream(path)
    upstream.git("rm", "-q", "train.py")
    for name, content in _FILES.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    upstream.git("add", "-A")
    upstream.git("commit", "-q", "-m", "Train nanoGPT with hyper-connections")
    return upstream


def write_shards(folder: Path) -> None:
    """Whole shards of a few tokens each, one to train on and one to validate on."""
    folder.mkdir(parents=True)
    for name, tokens in ((TRAIN_SHARD, 600), (VAL_SHARD, 400)):
        header = struct.pack("<256i", 20240520, 1, tokens, *([0] * 253))
        (folder / name).write_bytes(header + bytes(2 * tokens))
