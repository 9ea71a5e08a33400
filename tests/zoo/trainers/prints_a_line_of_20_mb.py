"""Prints one line of 20 MB without its end.

state: success
notes: wrote-nothing
"""

import sys

for _ in range(20):
    sys.stdout.write("x" * (1 << 20))
