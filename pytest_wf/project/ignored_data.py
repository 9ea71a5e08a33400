"""Data in a repository that git ignores, and that a pod therefore does not get."""

from __future__ import annotations

from collections.abc import Sequence

#: The words of git that list what it ignores, separated by NUL; folders that it ignores whole are
#: one entry.
LISTING = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
#: Names of folders that have data.
FOLDERS = frozenset({"data", "dataset", "datasets"})


def data_in(listed: str) -> list[str]:
    """The paths in the output of git's `LISTING` that are in a folder such as ``data/``.

    Paths within one of them, and Python's caches, are left out.
    """
    found: list[str] = []
    for name in sorted(listed.split("\0")):
        folders = {part.lower() for part in name.split("/")[:-1]}
        is_cache = name.rstrip("/").endswith(("__pycache__", ".pyc"))
        is_within = bool(found) and found[-1].endswith("/") and name.startswith(found[-1])
        if folders & FOLDERS and not is_cache and not is_within:
            found.append(name)
    return found


def folders_of(paths: Sequence[str]) -> list[str]:
    """The folders of paths that `data_in` returned, without folders within another one."""
    found: list[str] = []
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        if not any(folder.startswith(f"{above}/") for above in found):
            found.append(folder)
    return found


def folder_to_link(folders: Sequence[str], read: str) -> str:
    """The folder that DATA_LINK should name; '' if it is not clear.

    `folders` are those of ignored data. `read` is the one that the trainer reads, '' if unknown:
    then the only folder counts.
    """
    if not read:
        return folders[0] if len(folders) == 1 else ""
    around = [one for one in folders if f"{read}/".startswith(f"{one}/")]
    within = [read for one in folders if one.startswith(f"{read}/")]
    return next(iter([*around, *within]), "")
