"""Closes stdout and stderr, and trains on.

state: success
notes: no-metrics
"""

import os
import time
from pathlib import Path

os.close(1)
os.close(2)
time.sleep(0.3)
(Path(os.environ["TRAIN_OUT_DIR"]) / "model.bin").write_bytes(b"weights")
os._exit(0)
