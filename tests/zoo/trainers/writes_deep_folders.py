"""Writes into folders of many levels.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

folder = Path(os.environ["TRAIN_OUT_DIR"])
for level in range(24):
    folder = folder / f"level-{level}"
folder.mkdir(parents=True)
(folder / "model.bin").write_bytes(b"weights")
