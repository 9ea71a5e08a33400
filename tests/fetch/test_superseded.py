"""Earlier copies of fetched runs, and who needs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_wf.evidence.fetch_record import COMMIT_RECORD
from pytest_wf.fetch.superseded import remove, superseded
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.redact import MASK


def copy_at(place: Path, content: bytes, flow_id: str) -> dict[str, Any]:
    """A fetched run of one file; its commit record."""
    place.mkdir(parents=True)
    (place / "log").write_bytes(content)
    file = {"path": "log", "bytes": len(content), "sha256": sha256_bytes(content), "mtime_ns": 1}
    record = {"run_id": place.name, "flow_id": flow_id, "fetched_at": flow_id, "files": [file]}
    (place / COMMIT_RECORD).write_text(json.dumps(record))
    return record


def test_a_copy_is_needed_for_what_is_nowhere_else_and_for_flows_that_name_it(
    tmp_path: Path,
) -> None:
    dest, evidence = tmp_path / "runs", tmp_path / "flows"
    copy_at(dest / "a", b"new", "f-3")
    record = copy_at(dest / ".superseded" / "f-1" / "a", b"old", "f-1")
    copy_at(dest / ".superseded" / "f-2" / "a", b"new", "f-2")
    (evidence / "f-1").mkdir(parents=True)
    (evidence / "f-1" / "fetched.a.json").write_text(json.dumps(record))
    first, second = superseded(dest, evidence)
    assert (first.name, first.files, first.bytes, first.flows) == ("f-1/a", 1, 3, ("f-1",))
    assert (second.name, second.files, second.flows) == ("f-2/a", 0, ())
    assert (first.is_needed, second.is_needed) == (True, False)


def test_a_flow_whose_record_is_masked_needs_its_copy_too(tmp_path: Path) -> None:
    dest, evidence = tmp_path / "runs", tmp_path / "flows"
    copy_at(dest / "a", b"same", "f-3")
    record = copy_at(dest / ".superseded" / "f-1" / "a", b"same", "f-1")
    record["files"][0]["path"] = MASK
    (evidence / "f-1").mkdir(parents=True)
    (evidence / "f-1" / "fetched.a.json").write_text(json.dumps(record))
    (copy,) = superseded(dest, evidence)
    assert (copy.files, copy.flows) == (0, ("f-1",))


def test_a_removal_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / ".superseded" / "f-1"
    copy_at(folder / "a", b"old", "f-1")
    (folder / ".dropped.b").mkdir()
    (copy,) = superseded(tmp_path / "runs", tmp_path / "flows")
    remove(copy)
    assert not folder.exists()


def test_what_no_fetch_made_is_no_copy(tmp_path: Path) -> None:
    stray = tmp_path / ".superseded" / "mine" / "a"
    stray.mkdir(parents=True)
    (stray / "notes.txt").write_text("mine")
    assert superseded(tmp_path, tmp_path / "flows") == []
