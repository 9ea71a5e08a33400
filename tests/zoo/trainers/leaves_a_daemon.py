"""Leaves an idle daemon: a grandchild in a session of its own.

state: success
notes: no-metrics late-writer
"""

import os
import time
from pathlib import Path

(Path(os.environ["TRAIN_OUT_DIR"]) / "model.bin").write_bytes(b"weights")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(3600)
    os._exit(0)
os.wait()
