"""Writes a million numbers into its metrics.

state: success
metrics: m0=99999
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
with open(out / "metrics.jsonl", "w") as f:
    for step in range(100_000):
        numbers = ", ".join(f'"m{i}": {step}' for i in range(10))
        f.write(f'{{"step": {step}, {numbers}}}\n')
