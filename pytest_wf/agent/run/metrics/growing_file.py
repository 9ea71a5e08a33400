"""Reader of a file that grows by lines, each line once."""

import os
from typing import Iterator, List, Optional

from pytest_wf.agent.run.metrics.out_files import Left, open_regular

#: The most that one call reads; the next call reads on.
PIECE_BYTES = 4 * 1024 * 1024
#: Bytes that are compared to notice that a file of the same size or more was written anew.
_MARK_BYTES = 64


class GrowingFile:
    """A file of lines. What an earlier attempt left in it is skipped, as long as it exists."""

    def __init__(self, path: str, left: Optional[Left] = None) -> None:
        self._path = path
        self._left = left
        self._offset = 0
        self._torn = b""
        #: The bytes just before `_offset`.
        self._mark = b""
        self._is_begun = False
        #: How often it was read from its start.
        self.readings = 0

    def lines(self) -> List[bytes]:
        """The whole lines that were appended since the last call, of at most `PIECE_BYTES`."""
        fd = open_regular(self._path)
        if fd is None:
            return []
        try:
            # if a longer file was written anew from its start, reading goes on
            if not self._is_begun or self._marked(fd) != self._mark:
                self._is_begun = True
                self.readings += 1
                self._offset, self._torn = self._skipped(fd, os.fstat(fd).st_size), b""
                self._mark = self._marked(fd)
            piece = os.pread(fd, PIECE_BYTES, self._offset)
        except OSError:
            return []
        finally:
            os.close(fd)
        self._offset += len(piece)
        self._mark = (self._mark + piece)[-_MARK_BYTES:]
        *lines, self._torn = (self._torn + piece).split(b"\n")
        if len(self._torn) > PIECE_BYTES:
            self._torn = b""
        return lines

    def rest(self) -> Iterator[bytes]:
        """All that is left, a last line without its newline included."""
        before = -1
        while before != self._offset:
            before = self._offset
            yield from self.lines()
        torn, self._torn = self._torn, b""
        yield torn

    def begin_anew(self) -> None:
        """Make the next call read from the first line on."""
        self._left, self._is_begun = None, False

    def first_line(self, most_bytes: int) -> bytes:
        """The first line as it is now; b'' if there is no whole one within `most_bytes`."""
        fd = open_regular(self._path)
        if fd is None:
            return b""
        try:
            line, end, _ = os.pread(fd, most_bytes, 0).partition(b"\n")
        except OSError:
            return b""
        finally:
            os.close(fd)
        return line if end else b""

    def _marked(self, fd: int) -> bytes:
        begin = max(0, self._offset - _MARK_BYTES)
        return os.pread(fd, self._offset - begin, begin)

    def _skipped(self, fd: int, size: int) -> int:
        left, self._left = self._left, None
        return left.size if left is not None and left.is_begin_of(fd, size) else 0
