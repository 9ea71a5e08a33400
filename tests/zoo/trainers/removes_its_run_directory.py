"""Removes the run directory with all that the harness keeps in it.

state: success
notes: wrote-nothing run-dir-harmed exit-unwritten log-not-copied
notes in local_sync: wrote-nothing
"""

import os
import shutil
from pathlib import Path

run = Path(os.environ["TRAIN_OUT_DIR"]).parent
if run.name == os.environ["RUN_ID"]:
    shutil.rmtree(run)
