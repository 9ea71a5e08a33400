"""Writes 5,000 files.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
for i in range(5000):
    folder = out / f"part-{i % 50}"
    folder.mkdir(exist_ok=True)
    (folder / f"sample-{i}.txt").write_text(str(i))
