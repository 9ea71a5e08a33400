"""Ends while a child of its own still writes the last checkpoint.

state: success
notes: no-metrics
"""

import os
import time
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
if os.fork() == 0:
    with open(out / "last.bin", "wb") as f:
        for _ in range(3):
            f.write(b"weights" * 1000)
            f.flush()
            time.sleep(0.1)
    os._exit(0)
