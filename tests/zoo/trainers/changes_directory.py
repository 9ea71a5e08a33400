"""Goes into its output folder, writes there, and into a folder that it removes then.

state: success
notes: no-metrics
"""

import os
from pathlib import Path

os.chdir(os.environ["TRAIN_OUT_DIR"])
Path("model.bin").write_bytes(b"weights")
Path("scratch").mkdir()
os.chdir("scratch")
os.rmdir(os.getcwd())
