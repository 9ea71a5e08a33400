"""Data in a repository that git ignores, and that a pod therefore does not get."""

from __future__ import annotations

#: The words of git that list what it ignores, separated by NUL; folders that it ignores whole are
#: one entry.
LISTING = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
_FOLDERS = {"data", "dataset", "datasets"}


def data_in(listed: str) -> list[str]:
    """The paths in the output of git's `LISTING` that are in a folder such as ``data/``.

    Paths within one of them, and Python's caches, are left out.
    """
    found: list[str] = []
    for name in sorted(listed.split("\0")):
        folders = {part.lower() for part in name.split("/")[:-1]}
        is_cache = name.rstrip("/").endswith(("__pycache__", ".pyc"))
        is_within = bool(found) and found[-1].endswith("/") and name.startswith(found[-1])
        if folders & _FOLDERS and not is_cache and not is_within:
            found.append(name)
    return found
