"""Writes a file of 64 MB that holds almost nothing, and one file under two names.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
with open(out / "sparse.bin", "wb") as f:
    f.seek(64 << 20)
    f.write(b"end")
(out / "one.bin").write_bytes(b"weights")
os.link(out / "one.bin", out / "two.bin")
