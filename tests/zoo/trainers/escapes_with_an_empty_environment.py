"""Leaves a process without any of its environment, in a session of its own, that writes on.

state: success
notes: no-metrics late-writer
"""

import os
import sys
from pathlib import Path

out = Path(os.environ["TRAIN_OUT_DIR"])
(out / "model.bin").write_bytes(b"weights")
ESCAPED = """
import sys, time
while True:
    with open(sys.argv[1], "a") as f:
        f.write("still here\\n")
    time.sleep(0.05)
"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", ESCAPED, str(out / "escaped.txt")], {})
    os._exit(0)
os.wait()
