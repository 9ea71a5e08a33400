"""Removes its output folder for good.

state: success
notes: wrote-nothing
"""

import os
import shutil

shutil.rmtree(os.environ["TRAIN_OUT_DIR"])
