"""The flow's own copy of a commit record decides what a fetched run has to be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.evidence.chain import NOT_HERE
from pytest_wf.evidence.fetched_runs import run_findings
from pytest_wf.evidence.place import Place
from pytest_wf.evidence.signing import make_key, read_public_key
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.redact import Redactor
from tests.support import forger
from tests.support import good_flow as good

MARK = "trackers/run-1.wandb.synced"
OTHER = "f-20260102T030406Z-bbbbbb"
FILES = {
    "summary.json": b"{}\n",
    "out/metrics.jsonl": b'{"loss": 1}\n',
    "trackers/run-1.wandb": b":W&B",
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A flow in a project, that has fetched the run 'one' to reports/runs/one."""
    folder = tmp_path / "reports" / "flows" / good.FLOW
    folder.mkdir(parents=True)
    write_run(tmp_path / "reports" / "runs" / "one")
    return Place(folder, {"flow_id": good.FLOW, "project_dir": str(tmp_path)})


@pytest.fixture
def run(place: Place) -> Path:
    """The folder of the fetched run."""
    return place.root / "reports" / "runs" / "one"


def record(**changes: Any) -> dict[str, Any]:
    files = [{"path": p, "bytes": len(b), "sha256": sha256_bytes(b)} for p, b in FILES.items()]
    values = {"run_id": "one", "campaign_id": "c-1", "flow_id": good.FLOW, "files": files}
    return {**values, "links": {"last": "out"}, "folders": ["empty"], **changes}


def write_run(run: Path, **changes: Any) -> None:
    for name, raw in FILES.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(raw)
    (run / "last").symlink_to("out")
    (run / "empty").mkdir()
    (run / "FETCHED.json").write_text(json.dumps(record(**changes)))


def found(place: Place, **changes: Any) -> list[str]:
    """What is said of the run, its folder cut off each path."""
    path = place.root / "reports" / "runs" / "one"
    lines = run_findings(place, "one", str(path), json.dumps(record(**changes)).encode())
    return [str(line).replace(f"{path.parent}/", "") for line in lines]


def names(lines: list[str]) -> list[str]:
    return [": ".join(line.split(": ")[:2]) for line in lines]


def test_a_run_that_is_as_it_was_fetched_has_no_finding(place: Place) -> None:
    assert found(place) == []


def test_that_wandb_has_uploaded_a_run_since_is_no_change(place: Place, run: Path) -> None:
    (run / MARK).touch()
    assert found(place) == []


def _edit_with_its_record(run: Path) -> None:
    (run / "summary.json").write_bytes(b"{ }")
    (run / "FETCHED.json").unlink()


SPOILED: list[tuple[Callable[[Path], object], list[str]]] = [
    (lambda r: (r / "summary.json").write_bytes(b"[]\n"), ["one/summary.json: changed"]),
    (lambda r: (r / "out/metrics.jsonl").unlink(), ["one/out/metrics.jsonl: removed"]),
    (lambda r: (r / "out/ckpt.pt").write_bytes(b""), ["one/out/ckpt.pt: added"]),
    (lambda r: (r / "FETCHED.json").unlink(), ["one/FETCHED.json: removed"]),
    (lambda r: (r / "FETCHED.json").write_text("{}"), ["one/FETCHED.json: changed"]),
    (_edit_with_its_record, ["one/FETCHED.json: removed", "one/summary.json: changed"]),
    (lambda r: (r / "last").unlink(), ["one/last: removed"]),
    (lambda r: os.replace(_link(r, "/etc"), r / "last"), ["one/last: changed"]),
    (lambda r: os.replace(_link(r, "x"), r / "summary.json"), ["one/summary.json: changed"]),
    (lambda r: (r / "empty").rmdir(), ["one/empty: removed"]),
    (lambda r: os.mkfifo(r / "pipe"), ["one/pipe: added"]),
    # none of them is the mark of an upload
    (lambda r: (r / MARK).write_bytes(b"x"), [f"one/{MARK}: added"]),
    (lambda r: os.mkfifo(r / MARK), [f"one/{MARK}: added"]),
    (lambda r: (r / "out.wandb.synced").touch(), ["one/out.wandb.synced: added"]),
    (lambda r: (r / "summary.json.synced").touch(), ["one/summary.json.synced: added"]),
]


def _link(run: Path, target: str) -> Path:
    (run / "made").symlink_to(target)
    return run / "made"


@pytest.mark.parametrize(("spoil", "expected"), SPOILED)
def test_what_was_changed_removed_or_planted_is_named_whatever_lies_beside_it(
    place: Place, run: Path, spoil: Callable[[Path], object], expected: list[str]
) -> None:
    spoil(run)
    assert names(found(place)) == expected


def test_a_run_that_is_absent_as_a_whole_is_not_here(place: Place, run: Path) -> None:
    shutil.rmtree(run)
    assert found(place) == ["one: not here: fetched run"]


@pytest.mark.parametrize("kind", [os.mkfifo, lambda p: p.write_text("x"), Path.symlink_to])
def test_what_is_no_folder_in_a_run_s_place_is_named(
    place: Place, run: Path, kind: Callable[..., object]
) -> None:
    shutil.rmtree(run)
    kind(run, "nowhere") if kind is Path.symlink_to else kind(run)
    assert any(line.startswith("one: changed: it cannot be read") for line in found(place))


def test_the_copy_that_a_later_fetch_moved_is_found_and_checked(place: Place, run: Path) -> None:
    earlier = run.parent / ".superseded" / good.FLOW / "one"
    earlier.parent.mkdir(parents=True)
    run.rename(earlier)
    write_run(run, flow_id="p-later", fetched_at="later")
    assert names(found(place)) == ["one: not here"]
    (earlier / "summary.json").write_bytes(b"")
    assert f".superseded/{good.FLOW}/one/summary.json: changed" in names(found(place))
    (earlier / "FETCHED.json").unlink()
    assert f".superseded/{good.FLOW}/one/FETCHED.json: removed" in names(found(place))


def test_a_copy_from_the_runs_directory_is_said_to_have_replaced_the_flows(
    place: Place, run: Path
) -> None:
    earlier = run.parent / ".superseded" / good.FLOW / "one"
    earlier.parent.mkdir(parents=True)
    run.rename(earlier)
    write_run(run, flow_id="p-later", from_directory=True)
    assert found(place) == [
        "one: not here: fetched run; replaced by a copy from its directory, which is not verified"
    ]


def later_flow(place: Place, commit_record: bytes) -> Path:
    """Another flow beside this one, which has fetched a run with that commit record."""
    store = EvidenceStore(place.folder.parent, OTHER, Redactor())
    store.write_start(good.start().model_copy(update={"flow_id": OTHER}))
    store.attach("fetched.one.json", commit_record)
    good.close(store)
    return store.dir


def test_a_run_that_another_flow_fetched_later_is_replaced_and_no_fault(
    place: Place, run: Path
) -> None:
    shutil.rmtree(run)
    write_run(run, flow_id=OTHER)
    assert "one/FETCHED.json: changed" in names(found(place))
    other = later_flow(place, (run / "FETCHED.json").read_bytes())
    assert found(place) == [f"one: not here: fetched run; replaced by flow {OTHER}"]
    (other / "fetched.one.json").write_text("{}")
    assert "one/FETCHED.json: changed" in names(found(place))


def test_with_a_key_another_flow_is_believed_only_if_it_is_signed(
    place: Place, run: Path, tmp_path: Path
) -> None:
    shutil.rmtree(run)
    write_run(run, flow_id=OTHER)
    later = later_flow(place, (run / "FETCHED.json").read_bytes())
    key = make_key(tmp_path / "key.pem")[0]
    asked = Place(place.folder, place.start, read_public_key(tmp_path / "key.pem.pub"))
    assert "one/FETCHED.json: changed" in names(found(asked))
    forger.reclose(later, key=key)
    assert found(asked) == [f"one: not here: fetched run; replaced by flow {OTHER}"]


def test_a_carried_project_is_checked_where_it_lies_now(place: Place, tmp_path: Path) -> None:
    start = {**place.start, "evidence_dir": "reports/flows"}
    carried = tmp_path / "carried"
    shutil.copytree(tmp_path / "reports", carried / "reports", symlinks=True)
    (carried / "reports" / "runs" / "one" / "summary.json").write_bytes(b"")
    recorded = str(tmp_path / "reports" / "runs" / "one")
    raw = json.dumps(record()).encode()
    there = Place(carried / "reports" / "flows" / good.FLOW, start)
    assert [f.problem for f in run_findings(there, "one", recorded, raw)] == ["changed"]
    here = Place(place.folder, start)
    assert list(run_findings(here, "one", recorded, raw)) == []


@pytest.mark.parametrize("raw", [None, b"", b"[]", b'{"files": 1}'])
def test_a_run_without_a_record_is_not_here(place: Place, raw: bytes | None) -> None:
    (line,) = run_findings(place, "one", str(place.root / "reports/runs/one"), raw)
    assert line.problem == NOT_HERE


def test_a_masked_name_is_compared_by_its_content(place: Place, run: Path) -> None:
    masked = [{**f, "path": f["path"].replace("out", "[redacted]")} for f in record()["files"]]
    assert found(place, files=masked) == []
    (run / "summary.json").write_bytes(b"[]\n")
    assert names(found(place, files=masked)) == ["one/summary.json: changed"]
