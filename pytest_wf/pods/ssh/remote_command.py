"""Command lines that all login shells interpret alike.

An SSH server passes a command as one string to the login's shell, and bash, fish, csh and the
others differ in quotes, newlines, `!` and `\\`. So a word that is not plain is never quoted: the
whole command is sent encoded, and a constant Python program runs it.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence

#: No shell changes such a word. zsh would look `=word` up, and csh `%word`.
_PLAIN = re.compile(r"[A-Za-z0-9_./:,+@-][A-Za-z0-9_./:,+@%=-]*")

#: Runs the command of its argument, and ends as a shell does if there is no such program.
_RUN = b"""\
import os, sys
argv = zlib.decompress(base64.b64decode(sys.argv[1])).split(b"\\0")
try:
    os.execvp(argv[0], argv)
except OSError as e:
    os.write(2, argv[0] + b": " + e.strerror.encode() + b"\\n")
    os._exit(127 if e.errno == 2 else 126)
"""


def remote_command(argv: Sequence[str]) -> bytes:
    """The command line that runs `argv` in place of the shell that reads it.

    No process of the login stays between the command and its signals.
    """
    if all(_PLAIN.fullmatch(word) for word in argv):
        return ("exec " + " ".join(argv)).encode("ascii")
    command = _packed("\0".join(argv).encode("utf-8", "surrogateescape"))
    return f"exec python3 -I -S -c '{_PROGRAM}' {command}".encode("ascii")


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


#: One line without a quote, a backslash, `!` or `$`.
_PROGRAM = f'import base64,zlib;exec(zlib.decompress(base64.b64decode("{_packed(_RUN)}")))'
