"""The archive stream of a fetch, as both sides must agree on it.

The controller asks with one JSON line
``{settings, runs: [[run_id, [[path, size, mtime_ns, offset], ...]], ...], codings}``.
The answer is packs: each holds files of one run, in the order in which they were asked for.

A pack is a header line ``{run_id, paths, sizes, modes, offset, coding}``, the bytes of its
files one behind the other, and a trailer line ``{sha256, problems}`` with an entry for each of
them. Behind the last pack comes ``{end: n}``, n being the number of files.

- Files below `SMALL_BYTES` share packs, so that ten thousand of them cost little more than
  their bytes. Any other file, and one that was asked for from an offset, is alone in its pack.
- An `offset` is granted where the file is still the one of that `mtime_ns`; else it is 0 and
  the file comes from its start. The digest is of the whole file all the same; while the part
  that is not sent is read, lines ``{hashed: n}`` come before the header.
- The coding is '' for the bytes as they are, or, for a file alone where the request's
  `codings` allow it and a sample shows that it pays, 'zlib': frames of a length (4 bytes,
  big-endian) and so many bytes of one zlib stream, the last one of length 0.
- A problem is '' for a file that is, and stayed, what the listing had announced; else it says
  what happened to it.
"""

#: Files of this size and more have a pack of their own, and are gone on with after a cut.
SMALL_BYTES = 64 * 1024
#: A shared pack is sent when its files weigh so much: bytes, names and a little for each.
PACK_BYTES = 256 * 1024
_FILE_WEIGHT = 128
#: More than any header or trailer line of such a pack.
MAX_LINE_BYTES = 1024 * 1024


def weight(path: str, size: int) -> int:
    """What a file adds to a shared pack."""
    return size + len(path) + _FILE_WEIGHT


#: Why something is not sent that has no content, so that nothing is lost without it.
SOCKET, PIPE = "a socket", "a named pipe"
DANGLING_LINK = "a link to nothing in the run directory"
LINK_TO = "a link to %s"
WITHOUT_CONTENT = frozenset((SOCKET, PIPE, DANGLING_LINK, LINK_TO % SOCKET, LINK_TO % PIPE))
