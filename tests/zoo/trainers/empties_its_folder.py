"""Begins by removing its output folder and making it again.

state: success
notes: no-metrics
"""

import os
import shutil
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
shutil.rmtree(out)
out.mkdir()
(out / "model.bin").write_bytes(b"weights")
