"""Removes its output folder for good.

state: success
notes: wrote-nothing
notes in local_sync: wrote-nothing mirror
"""

import os
import shutil

shutil.rmtree(os.environ["TRAIN_OUT_DIR"])
