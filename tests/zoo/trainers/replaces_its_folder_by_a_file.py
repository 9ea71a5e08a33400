"""Puts a file in the place of its output folder.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
out.rmdir()
out.write_bytes(b"weights")
