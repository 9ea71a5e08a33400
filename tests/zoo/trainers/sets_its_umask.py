"""Makes its files readable by its own user alone, then by all.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

os.umask(0o077)
out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "private").mkdir()
(out / "private" / "model.bin").write_bytes(b"weights")
os.umask(0o000)
(out / "open.bin").write_bytes(b"weights")
