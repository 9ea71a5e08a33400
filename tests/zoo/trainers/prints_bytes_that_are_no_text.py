"""Prints every byte there is, terminal escapes and marks that turn the text's direction.

state: success
notes: wrote-nothing
"""

import sys

sys.stdout.buffer.write(bytes(range(256)) * 50)
sys.stdout.buffer.write("\x1b]0;title\x07\x1b[2J\u202eevil\n".encode())
