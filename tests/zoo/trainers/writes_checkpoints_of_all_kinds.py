"""Saves checkpoints as nanoGPT, Lightning, Hugging Face and torch.distributed name them.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
for name in ("ckpt.pt", "ckpt_5.pt", "last.ckpt", "state_step000100.pt", "__0_0.distcp"):
    (out / name).write_bytes(b"weights")
for name in ("checkpoint-500/model.safetensors", "deep/checkpoints/epoch=1.pt"):
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"weights")
(out / "model.safetensors").write_bytes(b"weights")
