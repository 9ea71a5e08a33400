"""Leaves a dangling link and two links that lead to each other.

state: success
notes: no-metrics
empty: out/dangling out/one out/two
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "dangling").symlink_to("nothing")
(out / "one").symlink_to("two")
(out / "two").symlink_to("one")
(out / "model.bin").write_bytes(b"weights")
