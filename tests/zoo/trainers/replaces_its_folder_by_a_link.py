"""Puts a link to a folder elsewhere in the place of its output folder.

state: success
notes: no-metrics
refused: out
refused in local_sync: out/replaces_its_folder_by_a_link
"""

import os
import tempfile
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
elsewhere = Path(tempfile.mkdtemp(prefix="elsewhere-", dir=os.environ["ZOO_ELSEWHERE"]))
out.rmdir()
out.symlink_to(elsewhere)
(out / "model.bin").write_bytes(b"weights")
