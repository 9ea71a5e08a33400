"""Takes all rights away from its files and folders.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "locked").mkdir()
(out / "locked" / "model.bin").write_bytes(b"weights")
(out / "locked" / "model.bin").chmod(0)
(out / "locked").chmod(0)
