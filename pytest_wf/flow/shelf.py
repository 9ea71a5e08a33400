"""Fetched runs as they stand on the local disk: commit records, journals, what gives way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.flow.unpack import COMMIT_RECORD, PodFile, Received
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, parse_json, read_json, sha256_file

_MAX_RECORD_BYTES = 256 * 1024 * 1024


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
        ):
            return None
    return record


def stands(place: Path, record: Mapping[str, Any], digests: bool) -> bool:
    """Whether every file of a commit record is there; with `digests`, byte for byte."""
    return all(
        is_same(place, f["path"], f["bytes"], f["sha256"] if digests else None)
        for f in record["files"]
    )


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


def old(place: Path) -> Path:
    """Where a run waits while its successor takes its place."""
    return place.with_name(f".{place.name}.old")


def restore(place: Path) -> None:
    """Undo a replacement that was broken off between its two renames."""
    if not os.path.lexists(place) and old(place).is_dir():
        os.rename(old(place), place)


def remove(path: Path) -> None:
    """Remove a file, a link (not what it leads to) or a whole directory, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def keep_only(part: Path, paths: set[str]) -> None:
    """Remove every file below `part` that is not one of `paths`."""
    for folder, _, names in os.walk(part):
        for name in names:
            file = Path(folder, name)
            if file.relative_to(part).as_posix() not in paths:
                file.unlink()


def journal_line(file: PodFile, received: Received) -> str:
    """What the journal of a fetch says of a file that has come whole."""
    line = {
        "path": file.path,
        "bytes": received.bytes,
        "mtime_ns": file.mtime_ns,
        "sha256": received.sha256,
    }
    return json.dumps(line) + "\n"


def journal_lines(journal: Path) -> Iterator[dict[str, Any]]:
    """The entries of a fetch's journal; none where there is no journal."""
    try:
        lines = journal.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            value = parse_json(line)
        except BadJson:
            continue  # the torn last line of a crash
        if isinstance(value, dict):
            yield value
