"""Refuses to run without a terminal.

state: failed
class: user
exit: 1
"""

import sys

if not sys.stdin.isatty():
    raise SystemExit("not a terminal")
