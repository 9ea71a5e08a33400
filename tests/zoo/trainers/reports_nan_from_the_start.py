"""Reports a loss that is not a number, in each step.

state: success
notes: nan
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
with open(out / "metrics.jsonl", "w") as f:
    for step in range(10):
        f.write(f'{{"step": {step}, "loss": NaN}}\n')
