"""Fetched runs as they stand on the local disk: commit records, and what gives way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.evidence.fetch_record import COMMIT_RECORD
from pytest_wf.fetch.announced_files import PodFile
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, read_json, sha256_file

_MAX_RECORD_BYTES = 256 * 1024 * 1024


def verified_runs(dest: Path, campaign_id: str, *, digests: bool = False) -> set[str]:
    """Runs of `campaign_id` whose commit record in `dest` holds: every file there, of its size.

    With `digests` every file is read again and compared.
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
            and record.get("campaign_id") == campaign_id
            and record.get("run_id") == name
            and record.get("whole") is True
            and matches_record(dest / name, record, digests)
        ):
            found.add(name)
    return found


def record_of(place: Path) -> dict[str, Any] | None:
    """The commit record of a fetched run; None where there is none that can be believed."""
    try:
        record = read_json(str(place / COMMIT_RECORD), _MAX_RECORD_BYTES)
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
    return record


def is_partial(place: Path) -> bool:
    """Whether a fetched run says of itself that it is not whole."""
    record = record_of(place)
    return record is not None and record.get("whole") is False


def matches_record(place: Path, record: Mapping[str, Any], digests: bool) -> bool:
    """Whether every file of a commit record is there; with `digests`, byte for byte."""
    return all(
        is_same(place, f["path"], f["bytes"], f["sha256"] if digests else None)
        for f in record["files"]
    )


def unchanged(place: Path, record: Mapping[str, Any], files: Iterable[PodFile]) -> dict[str, str]:
    """Digests of those of the pod's `files` that stand here byte for byte, by path."""
    known = {(f["path"], f["bytes"], f.get("mtime_ns")): f["sha256"] for f in record["files"]}
    return {
        f.path: sha256
        for f in files
        if (sha256 := known.get((f.path, f.size, f.mtime_ns))) is not None
        and is_same(place, f.path, f.size, sha256)
    }


def is_same(place: Path, path: str, size: int, sha256: str | None) -> bool:
    """Whether a regular file of that size, and digest where given, stands there."""
    file = place / path
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            return False
        return sha256 is None or sha256_file(str(file)) == sha256
    except (OSError, ValueError):
        return False


def owner_of(place: Path) -> str:
    """The campaign that a local run directory belongs to; 'unknown' where it does not say."""
    record = record_of(place)
    if record is None:
        try:
            summary = read_json(str(place / "summary.json"))
        except (OSError, BadJson):
            return "unknown"
        record = summary if isinstance(summary, dict) else {}
    owner = record.get("campaign_id")
    return owner if isinstance(owner, str) and ids.is_id(owner) else "unknown"


def replaced_path(place: Path) -> Path:
    """Where a run waits while its successor takes its place."""
    return place.with_name(f".{place.name}.old")


def restore(place: Path) -> None:
    """Undo a replacement that was broken off between its two renames."""
    if not os.path.lexists(place) and replaced_path(place).is_dir():
        os.rename(replaced_path(place), place)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a whole directory, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def put_in_place(part: Path, place: Path, campaign_id: str) -> None:
    """Let `part` take its place: what stands there of another campaign moves aside."""
    owner = owner_of(place) if os.path.lexists(place) else None
    if owner == campaign_id:
        remove(replaced_path(place))
        os.rename(place, replaced_path(place))
    elif owner is not None:
        os.rename(place, _aside(place, owner))
    os.rename(part, place)
    remove(replaced_path(place))


def _aside(place: Path, owner: str) -> Path:
    aside = place.with_name(f"{place.name}.{owner}")
    count = 1
    while os.path.lexists(aside):
        count += 1
        aside = place.with_name(f"{place.name}.{owner}.{count}")
    return aside
