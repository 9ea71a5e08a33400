"""Fetched runs on the local disk: commit records, and moves for a later copy."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_wf.evidence.fetch_record import (
    COMMIT_RECORD,
    SUPERSEDED,
    holds_record,
    superseded_path,
)
from pytest_wf.fetch.announced_files import PodFile
from pytest_wf.threads import ThreadPool
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, read_json, sha256_file, sync_dir
from pytest_wf.wire.ownership import NotOurs, make_folder

#: Below `SUPERSEDED`: copies that are being removed.
_DROPPED = ".dropped"
_MAX_RECORD_BYTES = 256 * 1024 * 1024
#: How many threads read files: a disk that is slow to find a file finds several at once.
_AT_ONCE = 8
#: How many files a thread reads before it takes the next ones.
_TOGETHER = 32


def verified_runs(
    dest: Path,
    campaign_id: str,
    *,
    adopted: Mapping[str, str] | None = None,
    digests: bool = False,
) -> set[str]:
    """Runs of `campaign_id` with a valid commit record in `dest`: all files exist in full size.

    A run that the campaign `adopted` belongs to the campaign that trained it. With `digests`,
    every file is read again and compared.
    """
    found = set()
    try:
        names = [entry.name for entry in os.scandir(dest) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return set()
    for name in names:
        if not ids.is_id(name):
            continue
        record = record_of(dest / name)
        if (
            record is not None
            and record.get("campaign_id") == (adopted or {}).get(name, campaign_id)
            and record.get("run_id") == name
            and record.get("whole") is True
            and matches_record(dest / name, record, digests)
        ):
            found.add(name)
    return found


def record_of(place: Path) -> dict[str, Any] | None:
    """The commit record of a fetched run; None if there is no valid one."""
    path = place / COMMIT_RECORD
    try:
        record = None if path.is_symlink() else read_json(str(path), _MAX_RECORD_BYTES)
    except (OSError, BadJson):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("files"), list):
        return None
    for file in record["files"]:
        if (
            not isinstance(file, dict)
            or not isinstance(file.get("path"), str)
            or type(file.get("bytes")) is not int
            or not isinstance(file.get("sha256"), str)
            or not isinstance(file.get("mtime_ns"), int | None)
        ):
            return None
    links, folders = record.setdefault("links", {}), record.setdefault("folders", [])
    if not isinstance(links, dict) or not isinstance(folders, list):
        return None
    if not all(isinstance(text, str) for text in [*links.values(), *folders]):
        return None
    return record


def matches_record(place: Path, record: Mapping[str, Any], digests: bool) -> bool:
    """Whether all files of a commit record exist; with `digests`, byte for byte."""
    return (
        all(
            is_same(place, f["path"], f["bytes"], f["sha256"] if digests else None)
            for f in record["files"]
        )
        and all(_is_link(place / path, text) for path, text in record["links"].items())
        and all((place / path).is_dir() for path in record["folders"])
    )


def _is_link(link: Path, text: str) -> bool:
    try:
        return os.readlink(link) == text
    except (OSError, ValueError):
        return False


def unchanged(place: Path, record: Mapping[str, Any], files: Iterable[PodFile]) -> dict[str, str]:
    """Digests, by path, of those of the pod's `files` that exist there byte for byte."""
    known = {(f["path"], f["bytes"], f.get("mtime_ns")): f["sha256"] for f in record["files"]}
    wanted = [
        (f.path, f.size, sha256)
        for f in files
        if (sha256 := known.get((f.path, f.size, f.mtime_ns))) is not None
    ]

    def same(some: Sequence[tuple[str, int, str]]) -> list[tuple[str, str]]:
        return [(path, sha256) for path, size, sha256 in some if is_same(place, path, size, sha256)]

    with ThreadPool(_AT_ONCE) as disk:
        parts = (wanted[n : n + _TOGETHER] for n in range(0, len(wanted), _TOGETHER))
        return dict(itertools.chain.from_iterable(disk.map(same, parts)))


def is_same(place: Path, path: str, size: int, sha256: str | None) -> bool:
    """Whether a regular file of that size, and digest if given, exists there."""
    file = place / path
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            return False
        return sha256 is None or sha256_file(str(file)) == sha256
    except (OSError, ValueError):
        return False


def is_ours(place: Path) -> bool:
    """Whether a fetch made the folder at `place`: its commit record is of that run."""
    record = record_of(place) if holds_record(place) else None
    return record is not None and str(record.get("run_id")).split("/")[-1] == place.name


def is_damaged(place: Path) -> bool:
    """Whether a fetch made the folder at `place`, and its commit record cannot be read."""
    return holds_record(place) and record_of(place) is None


def is_foreign(place: Path) -> bool:
    """Whether something exists at `place` that no fetch made; it is never moved."""
    return os.path.lexists(place) and not is_ours(place) and not is_damaged(place)


def remove(path: Path) -> None:
    """Remove a file, a link (not its target) or a directory tree, if it exists."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def finish(part: Path, place: Path) -> bool:
    """Complete a replacement that was interrupted between its two renames, if one was."""
    record = record_of(part)
    if record is None or record.get("run_id") != place.name or os.path.lexists(place):
        return False
    os.rename(part, place)
    return True


def put_in_place(part: Path, place: Path) -> Path | None:
    """Rename `part` to `place`. An earlier copy moves to `superseded_path`.

    Closed evidence may name its files. The new copy shares equal files as hard
    links. Only the copy of a run that had not ended is removed, unless files were added to it.
    Returns the new path of the earlier copy, None if there is none. Raises NotOurs, OSError.
    """
    dropped = place.parent / SUPERSEDED / _DROPPED
    earlier = None
    if os.path.lexists(place):
        if is_foreign(place):
            raise NotOurs(str(place))
        make_folder(str(place.parent / SUPERSEDED), "runs that later fetches replaced")
        remove(dropped)
        earlier = dropped if _is_disposable(place) else _free(place)
        earlier.parent.mkdir(parents=True, exist_ok=True)
        os.rename(place, earlier)
        sync_dir(str(earlier.parent))
    os.rename(part, place)
    sync_dir(str(place.parent))
    remove(dropped)
    return None if earlier == dropped else earlier


def _is_disposable(place: Path) -> bool:
    record = record_of(place) or {}
    files = (file["path"] for file in record.get("files", ()))
    known = {COMMIT_RECORD, *files, *record.get("links", ())}
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}
    return record.get("ended") is False and found <= known


def _free(place: Path) -> Path:
    flow_id = str((record_of(place) or {}).get("flow_id", ""))
    name = flow_id if ids.is_id(flow_id) else "unknown"
    path, count = superseded_path(place, name), 1
    while os.path.lexists(path):
        count += 1
        path = superseded_path(place, f"{name}.{count}")
    return path
