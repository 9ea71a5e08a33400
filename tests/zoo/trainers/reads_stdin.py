"""Asks a question on stdin and takes the end of the file for an answer.

state: success
notes: wrote-nothing
"""

import sys

if sys.stdin.read():
    raise SystemExit("stdin is not empty")
