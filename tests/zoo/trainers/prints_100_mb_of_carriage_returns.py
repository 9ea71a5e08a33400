"""Draws a progress bar of 100 MB into one line.

state: success
notes: wrote-nothing
"""

import sys

bar = ("\rtraining " + "#" * 54).encode() * 16384
for _ in range(100):
    sys.stdout.buffer.write(bar)
sys.stdout.flush()
