"""A flow's folder is verified where it lies and where it was copied to."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_wf.court.auditor_process import Auditors
from pytest_wf.court.courtroom import Courtroom
from pytest_wf.evidence import chain
from pytest_wf.evidence.records import Artifact, Views
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.verify import NoFlow, verify_flow
from pytest_wf.evidence.views import views_of
from pytest_wf.wire.files import parse_json, pretty_json, sha256_file
from pytest_wf.wire.redact import Redactor
from tests.support import forger
from tests.support import good_flow as good

PASS = 'echo \'{"verdict": "pass", "violated_laws": [], "evidence_refs": [], "remediation": ""}\''


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    """A closed flow of two phases with artifacts inside, outside and on the pod."""
    return written(tmp_path / "project")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another with a fetched run and views, for tests that put back what they change."""
    return written(tmp_path_factory.mktemp("closed") / "project", has_results=True)


def written(project: Path, *, has_results: bool = False, has_earlier_fetch: bool = False) -> Path:
    project.mkdir()
    (project / "workflow.env").write_text("A=1\n")
    (project / "relative.txt").write_text("r\n")
    store = EvidenceStore(project / "reports" / "flows", good.FLOW, Redactor())
    room = Courtroom(store, Auditors(PASS, 30), True, project)
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
    if has_earlier_fetch:
        store.attach("fetched.one.json", b"{}")
    if has_results:
        evidence = good.evidence("P80", **fetched(project, store))
        room.hold(evidence, good.contract("P80"), good.world("P80"))
    summary = good.close(store, has_views=has_results)
    if has_results:
        (project / "report.html").write_text(good.FLOW)
        views, _ = views_of(good.FLOW, project, [("page", project / "report.html")])
        digest, at = sha256_file(str(summary)), "2026-01-02T03:05:06.000Z"
        store.write_views(
            Views(flow_id=good.FLOW, summary_sha256=digest, written_at=at, views=views)
        )
    return store.dir


def fetched(project: Path, store: EvidenceStore) -> dict[str, Any]:
    """What P80's evidence says of a run that it fetched."""
    run = project / "reports" / "runs" / "one"
    run.mkdir(parents=True)
    (run / "summary.json").write_text("{}")
    file = {"path": "summary.json", "bytes": 2, "sha256": sha256_file(str(run / "summary.json"))}
    raw = json.dumps({"run_id": "one", "files": [file], "links": {}, "folders": []}).encode()
    (run / "FETCHED.json").write_bytes(raw)
    record = store.artifact("fetch-record", store.attach("fetched.one.json", raw))
    return {"artifacts": [record], "facts": {"runs": {"one": {"path": str(run)}}}}


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
        (lambda f: _link(f / "bootstrap.log"), "bootstrap.log: changed: it is not a regular file"),
        (
            lambda f: _link(f / "flow.summary.json"),
            "flow.summary.json: changed: it is not a regular",
        ),
    ],
)
def test_what_does_not_belong_is_named(flow: Path, spoil: Callable[[Path], Any], line: str) -> None:
    spoil(flow)
    findings = verify_flow(flow).findings
    assert [f for f in findings if f.startswith(line)] == findings


def _deep(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x")


def test_an_artifact_in_the_folder_is_the_one_that_was_recorded(flow: Path) -> None:
    (flow / "bootstrap.log").write_bytes(b"ill\n")
    forger.reclose(flow)
    (line,) = verify_flow(flow).findings
    assert line.startswith("bootstrap.log: changed: recorded was ")


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
        "flow.summary.json: removed: the flow ended, and the file was taken away or could not be "
        "written"
    ]


@pytest.mark.fault("S7")
def test_a_chain_ends_in_the_head_that_was_kept_elsewhere(flow: Path) -> None:
    digest = parse_json((flow / chain.SUMMARY).read_bytes())["digest"]
    for head in (verify_flow(flow).head, digest):
        assert verify_flow(flow, head=head).ok
    (finding,) = verify_flow(flow, head="d" * 64).findings
    assert finding.startswith("phase.P40.verdict.json: cut: the chain was cut or replaced")


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


def test_what_is_no_folder_or_has_no_flow_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for folder, said in (
        (tmp_path / "nothing", "is not a folder"),
        (tmp_path, "no flow's evidence"),
    ):
        with pytest.raises(NoFlow, match=said):
            verify_flow(folder)


def test_a_run_that_was_fetched_twice_is_held_against_the_later_record(tmp_path: Path) -> None:
    flow = written(tmp_path / "project", has_results=True, has_earlier_fetch=True)
    assert (flow / "2.fetched.one.json").is_file()
    assert verify_flow(flow).ok
    planted = tmp_path / "project" / "reports" / "runs" / "one" / "planted"
    planted.write_text("x")
    assert verify_flow(flow).findings == [f"{planted}: added: the run was fetched without it"]


# ---- the summary follows from the records -----------------------------------------------------


def rewrite(folder: Path, **changes: Any) -> None:
    """Change fields of the summary, and write it as one who has no key can: digest and all."""
    path = folder / "flow.summary.json"
    summary = {**parse_json(path.read_bytes()), **changes}
    later = (path.name, chain.VIEWS)
    summary["files"] = {
        p.name: sha256_file(str(p)) for p in folder.iterdir() if p.name not in later
    }
    summary["digest"] = chain.own_digest(summary)
    path.write_bytes(pretty_json(summary))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ok", False),
        ("exit_code", 1),
        ("exit_code", False),
        ("failed_phase", "P40"),
        ("failure_code", 312),
        ("failure_kind", "wrong-sha"),
        ("ended_at", "2026-01-02T03:05:06.000Z"),
        ("duration_s", 1.0),
        ("teardown_mode", "keep"),
        ("cost_usd", 0.5),
        ("counts", {"phases_ok": 3}),
        ("phases", []),
        ("rows", [{"run_id": "a", "state": "success"}]),
        ("more", "of it"),
    ],
)
def test_a_field_of_the_summary_that_its_records_do_not_say_is_named(
    flow: Path, field: str, value: Any
) -> None:
    rewrite(flow, **{field: value})
    findings = verify_flow(flow).findings
    assert findings
    assert all(f.startswith(f"flow.summary.json: inconsistent: {field}") for f in findings)


def test_a_summary_of_another_flow_s_records_is_not_believed(flow: Path) -> None:
    rewrite(flow, flow_id="f-20260102T030405Z-ffffff")
    (line,) = verify_flow(flow).findings
    assert line.startswith(
        "flow.summary.json: inconsistent: flow_id is 'f-20260102T030405Z-ffffff'"
    )


def test_a_folder_with_the_name_of_another_flow_is_named_and_any_other_name_is_well(
    flow: Path,
) -> None:
    assert verify_flow(flow.rename(flow.with_name("a copy"))).ok
    other = flow.with_name("a copy").rename(flow.with_name("f-20260102T030405Z-ffffff"))
    (line,) = verify_flow(other).findings
    assert line.startswith("f-20260102T030405Z-ffffff: changed: it has the name of another flow")


# ---- whatever is in there ---------------------------------------------------------------------

ODD: list[bytes] = [
    b"",
    b"\xef\xbb\xbf{}",
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"flow_id": "\\ud800", "files": {}, "digest": "x"}',
    b'{"seq": ' + b"9" * 4000 + b"}",
    b'{"digest": 1e999}',
    b'{"files": {"\\n\\u001b[2J": "\\u202e"}, "phases": [{"code": "\\nok"}], "digest": 1}',
]


@pytest.mark.parametrize("raw", ODD)
def test_odd_bytes_in_any_file_are_findings_of_one_line(flow: Path, raw: bytes) -> None:
    for path in sorted(flow.iterdir()):
        before = path.read_bytes()
        path.write_bytes(raw)
        result = verify_flow(flow)
        assert not result.ok
        assert all(line.isprintable() for line in [*result.findings, *result.not_here])
        path.write_bytes(before)


DEEP = json.loads("[" * 400 + "]" * 400)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(draw=st.data())
def test_no_value_of_any_field_raises(closed: Path, draw: st.DataObject) -> None:
    names = sorted(p.name for p in closed.iterdir() if p.name.endswith(".json"))
    path = closed / draw.draw(st.sampled_from(names))
    whole = {p.name: p.read_bytes() for p in closed.iterdir()}
    record = parse_json(whole[path.name])
    inner = record
    while True:
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        key = draw.draw(st.sampled_from(keys))
        if not inner[key] or not isinstance(inner[key], (dict, list)) or draw.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = draw.draw(JSON | st.just(DEEP))
    try:
        path.write_bytes(json.dumps(record).encode())
        with suppress(ValueError):  # the record is no JSON any more
            if path.name == chain.VIEWS:
                forger.write(path, record)
            elif draw.draw(st.booleans()):
                forger.rechain_verdicts(closed)
                rewrite(closed)
        result = verify_flow(closed)
        assert all(line.isprintable() for line in [*result.findings, *result.not_here])
    finally:
        for name, raw in whole.items():
            (closed / name).write_bytes(raw)


def test_what_is_no_file_is_named_and_nothing_is_awaited(flow: Path) -> None:
    raw = (flow / "bootstrap.log").read_bytes()
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), _socket):
        for name in ("bootstrap.log", "flow.summary.json", "phase.P40.verdict.json"):
            before = (flow / name).read_bytes()
            (flow / name).unlink()
            make(flow / name)
            assert any(f.startswith(f"{name}: ") for f in verify_flow(flow).findings)
            (flow / name).rmdir() if (flow / name).is_dir() else (flow / name).unlink()
            (flow / name).write_bytes(before)
    assert (flow / "bootstrap.log").read_bytes() == raw


def _socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def test_names_that_steer_a_terminal_are_shown_as_escapes(flow: Path) -> None:
    (flow / "a\n\x1b[2Jflow.start.json: ok").write_text("x")
    (flow / "\N{RIGHT-TO-LEFT OVERRIDE}nosj").write_text("x")
    (flow / os.fsdecode(b"\xff\xfe")).write_text("x")
    findings = verify_flow(flow).findings
    assert len(findings) == 3
    assert all(line.isprintable() and line.endswith(": added") for line in findings)


def test_a_record_of_any_size_takes_little_memory(flow: Path) -> None:
    os.truncate(flow / "events.jsonl", 400 << 20)
    os.truncate(flow / "flow.start.json", 400 << 20)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from pytest_wf.evidence.verify import verify_flow\n"
        "limit = 800 << 20; resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "sys.exit(verify_flow(Path(sys.argv[1])).ok)"
    )
    subprocess.run([sys.executable, "-c", code, str(flow)], check=True)
