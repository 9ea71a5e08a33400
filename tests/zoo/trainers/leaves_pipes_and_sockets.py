"""Leaves a named pipe and a socket among its results.

state: success
notes: no-metrics
empty: out/pipe out/socket
"""

import os
import socket
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
os.chdir(out)
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
(out / "model.bin").write_bytes(b"weights")
