"""Writes through a link to a folder of its own, and through one that leads out of its run.

state: success
notes: no-metrics
refused: out/elsewhere
"""

import os
import tempfile
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "step-1").mkdir()
(out / "latest").symlink_to("step-1")
(out / "latest" / "model.bin").write_bytes(b"weights")
elsewhere = tempfile.mkdtemp(prefix="elsewhere-", dir=os.environ["ZOO_ELSEWHERE"])
(out / "elsewhere").symlink_to(elsewhere)
(out / "elsewhere" / "lost.bin").write_bytes(b"weights")
