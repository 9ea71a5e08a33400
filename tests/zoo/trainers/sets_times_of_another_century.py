"""Dates its files to 1970 and 2100, and makes them executable and setuid.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
for name, when in (("old.bin", 0), ("new.bin", 4102444800)):
    (out / name).write_bytes(b"weights")
    (out / name).chmod(0o4755)
    os.utime(out / name, (when, when))
