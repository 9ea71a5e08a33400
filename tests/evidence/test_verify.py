"""A flow's folder is verified where it lies and where it was copied to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.court.courtroom import Courtroom
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Artifact
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.verify import verify_flow
from pytest_wf.wire.files import parse_json, pretty_json
from pytest_wf.wire.redact import Redactor
from tests.support import good_flow as good

PASS = 'echo \'{"verdict": "pass", "violated_laws": [], "evidence_refs": [], "remediation": ""}\''


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A closed flow of two phases with artifacts inside, outside and on the pod."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "workflow.env").write_text("A=1\n")
    (project / "relative.txt").write_text("r\n")
    store = EvidenceStore(project / "reports" / "flows", good.FLOW, Redactor())
    room = Courtroom(store, PASS, 30, True, project)
    store.write_start(good.start().model_copy(update={"project_dir": str(project)}))
    config = store.artifact("config", project / "workflow.env")
    relative = store.artifact("x", project / "relative.txt").model_copy(
        update={"path": "relative.txt"}
    )
    log = store.artifact("bootstrap-log", store.attach("bootstrap.log", b"well\n"))
    pod = Artifact(role="x", path="/mnt/x", sha256="e" * 64, bytes=1, where="pod")
    for code, artifacts in (("P00", [config, relative]), ("P40", [log, pod])):
        evidence = good.evidence(code, artifacts=artifacts)
        assert room.hold(evidence, good.contract(code), good.world(code)).phase_pass
    store.write_summary(good.summary())
    return store.dir


def test_a_flow_that_nobody_touched_is_ok(flow: Path) -> None:
    result = verify_flow(flow)
    assert (result.ok, result.findings, result.not_here) == (True, [], ["/mnt/x (on the pod)"])


def test_a_copied_folder_is_ok_though_the_rest_is_not_here(flow: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(flow, copy)
    shutil.rmtree(tmp_path / "project")
    result = verify_flow(copy)
    assert (result.ok, result.findings) == (True, [])
    assert len(result.not_here) == 3


def test_each_changed_file_is_named(flow: Path) -> None:
    for path in sorted(flow.iterdir()):
        raw = path.read_bytes()
        path.write_bytes(raw[:-2] + b"x" + raw[-1:])
        result = verify_flow(flow)
        assert not result.ok
        assert [line.split(":")[:2] for line in result.findings] == [[path.name, " changed"]]
        path.write_bytes(raw)
    assert verify_flow(flow).ok


def test_each_removed_file_is_named(flow: Path) -> None:
    for path in sorted(flow.iterdir()):
        raw = path.read_bytes()
        path.unlink()
        findings = verify_flow(flow).findings
        assert [line.split(":")[:2] for line in findings] == [[path.name, " removed"]]
        path.write_bytes(raw)


def _link(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target.parent.parent / "target")
    path.symlink_to(target.parent.parent / "target")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda f: (f / "notes.txt").write_text("x"), "notes.txt: added"),
        (lambda f: (f / ".hidden").write_text("x"), ".hidden: added"),
        (lambda f: _deep(f / "a" / "b.txt"), "a/b.txt: added"),
        (lambda f: _link(f / "bootstrap.log"), "bootstrap.log: changed: it is no regular file"),
        (lambda f: _link(f / "flow.summary.json"), "flow.summary.json: changed: it is no regular"),
    ],
)
def test_what_does_not_belong_is_named(flow: Path, spoil: Callable[[Path], Any], line: str) -> None:
    spoil(flow)
    findings = verify_flow(flow).findings
    assert [f for f in findings if f.startswith(line)] == findings


def _deep(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x")


def test_an_artifact_outside_that_was_changed_is_a_finding(flow: Path) -> None:
    project = flow.parents[2]
    (project / "workflow.env").write_text("A=2\n")
    (project / "relative.txt").write_text("s\n")
    findings = verify_flow(flow).findings
    assert [f.split(":")[0] for f in findings] == [str(project / "workflow.env"), "relative.txt"]


def test_a_flow_that_has_not_ended_is_not_ok(flow: Path) -> None:
    (flow / "flow.summary.json").unlink()
    result = verify_flow(flow)
    assert not result.ok
    assert result.findings == [
        "flow.summary.json: removed: the flow has not ended, or the file was taken away"
    ]


def test_a_folder_of_rubbish_raises_nothing(tmp_path: Path) -> None:
    for name in ("flow.summary.json", "flow.start.json", "phase.P00.evidence.json"):
        (tmp_path / name).write_bytes(
            b'{"artifacts": [1, {"path": 5}, {"path": "/a\\u0000b"}], "files": 3,'
            b' "facts": {"runs": {"r": 1, "s": {}, "t": {"path": "/a\\u0000b"}}}}'
        )
    assert not verify_flow(tmp_path).ok


@pytest.mark.parametrize("odd", [{"files": {"a": []}}, {"phases": 1}, {"phases": [1]}])
def test_a_summary_of_another_shape_is_none_though_its_digest_fits(
    flow: Path, odd: dict[str, Any]
) -> None:
    path = flow / "flow.summary.json"
    summary = {**parse_json(path.read_bytes()), **odd}
    summary["digest"] = chain.own_digest(summary)
    path.write_bytes(pretty_json(summary))
    (line,) = verify_flow(flow).findings
    assert line.startswith("flow.summary.json: changed")


def test_of_a_pipe_in_an_artifacts_place_nothing_is_awaited(flow: Path, tmp_path: Path) -> None:
    place = tmp_path / "project" / "relative.txt"
    place.unlink()
    os.mkfifo(place)
    assert "relative.txt" in verify_flow(flow).not_here


def test_what_is_no_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        verify_flow(tmp_path / "nothing")
