"""The format of the archive stream of a fetch.

The controller asks with one JSON line
``{settings, runs: [[run_id, [[path, size, mtime_ns, offset], ...]], ...], codings}``.
The answer is packs: each holds files of one run, in the order in which they were asked for.

A pack is a header line ``{run_id, paths, sizes, modes, offset, coding}``, the bytes of its
files one after the other, and a trailer line ``{sha256, problems}`` with an entry for each of them.
After the last pack follows ``{end: n}``, n being the number of files.

- Files below `SMALL_BYTES` share packs, so that ten thousand of them cost little more than
  their bytes. Any other file, and one that was asked for from an offset, is alone in its pack.
- An `offset` is granted if the file still has that `mtime_ns`; else it is 0 and the file is sent
  from its start. The digest covers the whole file in both cases; while the part that is not sent
  is read, lines ``{hashed: n}`` come before the header.
- The coding is '' for the plain bytes. For a file alone in its pack it is 'zlib' if the request's
  `codings` allow it and a sample shows that it pays: frames of a length (4 bytes, big-endian) and
  that many bytes of one zlib stream, the last one of length 0.
- A problem is '' for a file that was, and stayed, as the listing had announced; else it says what
  happened to it.
"""

#: Files of this size and more have a pack of their own, and are resumed after an interruption.
SMALL_BYTES = 64 * 1024
#: A shared pack is sent when its files reach this weight: bytes, names and a little for each.
PACK_BYTES = 256 * 1024
_FILE_WEIGHT = 128
#: More than any header or trailer line of such a pack.
MAX_LINE_BYTES = 1024 * 1024


def weight(path: str, size: int) -> int:
    """What a file adds to a shared pack."""
    return size + len(path) + _FILE_WEIGHT


#: Reasons why something without content is not sent; nothing is lost without it.
SOCKET, PIPE = "a socket", "a named pipe"
DANGLING_LINK = "a link to nothing in the run directory"
LINK_TO = "a link to %s"
WITHOUT_CONTENT = frozenset((SOCKET, PIPE, DANGLING_LINK, LINK_TO % SOCKET, LINK_TO % PIPE))
