"""Removes files side by side: each removal may be a round trip to a disk of the network."""

import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Callable, Iterator, List

#: How many files are removed at once.
_AT_ONCE = 16
#: How many files a thread removes before it takes the next ones.
_TOGETHER = 64

#: Called with the path and the error of each file that could not be removed, by several threads.
Failed = Callable[[str, OSError], None]


def unlink_all(paths: Iterator[str], failed: Failed) -> int:
    """Remove files, links included; returns how many. One that is gone already is no failure."""
    removed = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while some := list(itertools.islice(paths, _AT_ONCE * _TOGETHER)):
            parts = (some[n : n + _TOGETHER] for n in range(0, len(some), _TOGETHER))
            removed += sum(pool.map(partial(_unlink, failed), parts))
    return removed


def remove_tree(path: str) -> None:
    """Remove the folder at `path` with all that is in it; links are not followed.

    Raises OSError if something of it cannot be removed.
    """
    folders: List[str] = []
    unlink_all(_files_below(path, folders), lambda _path, _error: None)
    for folder in reversed(folders):
        with suppress(OSError):
            os.rmdir(folder)
    if os.path.lexists(path):
        # what is deeper than a path can name, or else the error that is raised
        shutil.rmtree(path)


def _files_below(folder: str, folders: List[str]) -> Iterator[str]:
    """The files below `folder`; it and the folders below it are added to `folders`."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        folders.append(folder)
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path


def _unlink(failed: Failed, paths: List[str]) -> int:
    removed = 0
    for path in paths:
        try:
            os.unlink(path)
            removed += 1
        except FileNotFoundError:
            pass
        except OSError as e:
            failed(path, e)
    return removed
