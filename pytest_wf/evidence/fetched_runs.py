"""Compares fetched runs on this machine with the flow's copies of their commit records.

The flow's own copy of the record counts: the record beside the results may have been
changed together with them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_wf.evidence.chain import NOT_HERE, Finding
from pytest_wf.evidence.fetch_record import COMMIT_RECORD, SUPERSEDED, record_name
from pytest_wf.evidence.folder import digest_of, files_of, parsed, read_regular, text_of
from pytest_wf.evidence.place import Place
from pytest_wf.wire import ids
from pytest_wf.wire.redact import MASK

#: The suffix that W&B's mark adds to the name of a run's file.
_UPLOADED = ".synced"


def run_findings(
    place: Place, run_id: str, path: str, raw_record: bytes | None
) -> Iterator[Finding]:
    """Findings in a run that was fetched to `path`; `raw_record` is the flow's own copy.

    A copy belongs to this flow by its commit record, or by its path. The folder
    at `path` belongs to the flow, too, unless another flow's evidence claims it.
    """
    record = parsed(raw_record)
    if not ids.is_id(run_id) or not path or not isinstance(record.get("files"), list):
        yield Finding(path or run_id, NOT_HERE, "fetched run")
        return
    present = place.located(path)
    copies = [c for c in (present, *_superseded(present, run_id)) if _is_there(c)]
    mine = [c for c in copies if is_same_record(record, _record_at(c))]
    if not mine:
        named = {place.flow_id, text_of(record, "flow_id")}
        mine = [c for c in copies if c != present and c.parent.name.partition(".")[0] in named]
    other = _owner(place, present, run_id) if present not in mine else ""
    if not mine and present in copies and not other:
        mine = [present]
    if present not in mine:
        said = f"fetched run; replaced by flow {other}" if other else "fetched run"
        if parsed(_record_at(present)).get("from_directory") is True:
            said = "fetched run; replaced by a copy from its directory, which is not verified"
        yield Finding(str(present), NOT_HERE, said)
    for copy in mine:
        yield from _against(copy, record)


def is_same_record(record: Mapping[str, Any], raw: bytes) -> bool:
    """Whether a commit record is the original of `record`, the flow's masked copy."""
    found = parsed(raw)
    return found == record or (MASK in str(record) and _unmasked(found) == _unmasked(record))


def _superseded(present: Path, run_id: str) -> list[Path]:
    """Copies of the run that later fetches replaced."""
    try:
        return sorted((present.parent / SUPERSEDED).glob(f"*/{run_id}"))
    except (OSError, ValueError):
        return []


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def _record_at(copy: Path) -> bytes:
    try:
        return read_regular(copy / COMMIT_RECORD)
    except (OSError, ValueError):
        return b""


def _unmasked(record: Mapping[str, Any]) -> object:
    """The parts of a record that are never masked."""
    files = [f for f in record.get("files") or () if isinstance(f, dict)]
    contents = sorted(str((f.get("sha256"), f.get("bytes"))) for f in files)
    return record.get("campaign_id"), record.get("fetched_at"), contents


def _owner(place: Place, present: Path, run_id: str) -> str:
    """The other flow whose evidence has the commit record of the folder at `present`."""
    there = _record_at(present)
    if not there:
        return ""
    return place.replaced_by(record_name(run_id), lambda raw: is_same_record(parsed(raw), there))


def _against(copy: Path, record: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare every file of the folder `copy` with the record: changed, removed, added."""
    raw = _record_at(copy)
    if MASK in str(record) and is_same_record(record, raw):
        record = parsed(raw)
    elif not is_same_record(record, raw):
        problem = "changed" if _is_there(copy / COMMIT_RECORD) else "removed"
        yield Finding(str(copy / COMMIT_RECORD), problem, "it is not the record of this flow")
    try:
        here = files_of(copy)
    except OSError as e:
        yield Finding(str(copy), "changed", f"it cannot be read as a folder: {e.strerror}")
        return
    here.pop(COMMIT_RECORD, None)
    fetched = [file for file in record["files"] if isinstance(file, dict)]
    for file in fetched:
        path = text_of(file, "path")
        yield from _file(copy / path, file, here.pop(path, None))
    links, folders = record.get("links"), record.get("folders")
    for path, text in (links if isinstance(links, dict) else {}).items():
        yield from _link(copy / path, text, here.pop(path, None))
    for path in folders if isinstance(folders, list) else ():
        if not _is_folder(copy / str(path)):
            yield Finding(str(copy / str(path)), "removed", "a fetched folder")
    uploaded = {text_of(file, "path") + _UPLOADED for file in fetched}
    for path, extra in here.items():
        if path not in uploaded or not _is_wandb_mark(extra):
            yield Finding(str(extra), "added", "the run was fetched without it")


def _is_wandb_mark(path: Path) -> bool:
    """Whether `wandb sync` left the file beside a run's file that it has uploaded."""
    try:
        found = path.lstat()
    except OSError:
        return False
    is_empty = stat.S_ISREG(found.st_mode) and found.st_size == 0
    return is_empty and path.name.endswith(".wandb" + _UPLOADED)


def _link(path: Path, text: object, found: Path | None) -> Iterator[Finding]:
    try:
        leads_to = None if found is None else os.readlink(found)
    except OSError:
        leads_to = ""
    if leads_to is None:
        yield Finding(str(path), "removed", "a fetched link")
    elif leads_to != text:
        yield Finding(str(path), "changed", f"it is not a link to {text}")


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def _file(path: Path, stated: Mapping[str, Any], found: Path | None) -> Iterator[Finding]:
    if found is None:
        yield Finding(str(path), "removed", "a fetched result")
        return
    try:
        digest, size = digest_of(found, size=stated.get("bytes"))
        if size != stated.get("bytes"):
            yield Finding(str(path), "changed", f"it has {size} bytes, not {stated.get('bytes')}")
        elif digest != stated.get("sha256"):
            yield Finding(str(path), "changed", f"its SHA-256 is {digest}")
    except OSError as e:
        yield Finding(str(path), "changed", str(e.strerror))
