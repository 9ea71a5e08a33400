"""What was drawn of a flow is recorded, and later compared: ok, changed, replaced or not here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_wf.evidence import chain, dsse
from pytest_wf.evidence.records import Views
from pytest_wf.evidence.signing import make_key, read_public_key
from pytest_wf.evidence.store import EvidenceStore
from pytest_wf.evidence.verify import VerifyResult, verify_flow
from pytest_wf.evidence.views import Kind, views_of
from pytest_wf.wire.files import parse_json, pretty_json, sha256_file
from pytest_wf.wire.redact import Redactor
from tests.support import good_flow as good

LATER = "f-20260102T030406Z-bbbbbb"
Draw = Callable[[str], Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes a closed flow and its views into one project; its folder."""

    def drawn(flow_id: str) -> Path:
        store = EvidenceStore(tmp_path / "reports" / "flows", flow_id, Redactor())
        start = {"flow_id": flow_id, "project_dir": str(tmp_path)}
        store.write_start(good.start().model_copy(update=start))
        summary = good.close(store, has_views=True)
        found: list[tuple[Kind, Path]] = [
            ("page", tmp_path / "report.html"),
            ("junit", tmp_path / "junit.xml"),
            ("allure", tmp_path / "allure"),
            ("checklist", tmp_path / "never-drawn"),
        ]
        (tmp_path / "report.html").write_text(f"<p>{flow_id}")
        (tmp_path / "junit.xml").write_text(f"<a b='{flow_id}'/>")
        shutil.rmtree(tmp_path / "allure", ignore_errors=True)
        (tmp_path / "allure").mkdir()
        for name in ("one", "two"):
            (tmp_path / "allure" / name).write_text(f"{flow_id} {name}")
        views, wrong = views_of(flow_id, tmp_path, found)
        assert wrong == []
        digest = sha256_file(str(summary))
        at = "2026-01-02T03:05:06.000Z"
        record = Views(flow_id=flow_id, summary_sha256=digest, written_at=at, views=views)
        assert store.write_views(record) == store.dir / chain.VIEWS
        return store.dir

    return drawn


def said(result: VerifyResult) -> list[str]:
    return [*result.views, *result.not_here, *result.findings]


def test_each_view_is_ok_changed_or_not_here(draw: Draw, tmp_path: Path) -> None:
    flow = draw(good.FLOW)
    result = verify_flow(flow)
    assert result.ok
    assert said(result) == ["report.html: ok", "junit.xml: ok", "allure: ok"]
    (tmp_path / "junit.xml").unlink()
    (tmp_path / "allure" / "one").write_text("else")
    (tmp_path / "allure" / "more").write_text("x")
    result = verify_flow(flow)
    assert said(result) == [
        "report.html: ok",
        "junit.xml (view)",
        "allure/more: added: of a view",
        "allure/one: changed: of a view",
    ]
    assert not result.ok


def test_a_folder_in_a_file_s_place_and_a_file_in_a_folder_s_are_changed(
    draw: Draw, tmp_path: Path
) -> None:
    flow = draw(good.FLOW)
    (tmp_path / "junit.xml").unlink()
    (tmp_path / "junit.xml").mkdir()
    shutil.rmtree(tmp_path / "allure")
    (tmp_path / "allure").write_text("x")
    lines = [": ".join(line.split(": ")[:2]) for line in verify_flow(flow).findings]
    assert lines == ["junit.xml: changed", "allure: changed"]


def test_views_that_a_later_flow_drew_are_replaced_and_no_fault(draw: Draw, tmp_path: Path) -> None:
    flow, later = draw(good.FLOW), draw(LATER)
    replaced = f"view; replaced by flow {LATER}"
    assert verify_flow(flow).ok
    assert said(verify_flow(flow)) == [
        f"{name} ({replaced})" for name in ("report.html", "junit.xml", "allure")
    ]
    assert said(verify_flow(later)) == ["report.html: ok", "junit.xml: ok", "allure: ok"]
    (tmp_path / "report.html").write_text("forged")
    assert not verify_flow(flow).ok
    assert not verify_flow(later).ok


def test_a_flow_that_was_killed_before_it_recorded_its_views_has_replaced_them(
    draw: Draw, tmp_path: Path
) -> None:
    flow, later = draw(good.FLOW), draw(LATER)
    (later / chain.VIEWS).unlink()
    assert said(verify_flow(flow))[0] == f"report.html (view; replaced by flow {LATER})"
    (tmp_path / "report.html").write_text(f"{LATER}, not {good.FLOW}")
    assert said(verify_flow(flow))[-1].startswith("report.html: changed")


def test_with_a_key_a_flow_that_was_killed_has_replaced_views_only_if_it_signed_its_start(
    draw: Draw, tmp_path: Path
) -> None:
    flow, later = draw(good.FLOW), draw(LATER)
    (later / chain.VIEWS).unlink()
    key, public_path, _ = make_key(tmp_path / "key.pem")
    start = (later / chain.START).read_bytes()
    signed = key.sign(start, dsse.START_TYPE)

    def found() -> list[str]:
        result = verify_flow(flow, public_key=read_public_key(public_path))
        return [line for line in said(result) if line.startswith("report.html")]

    (later / chain.START_SIGNATURE).write_bytes(signed)
    assert found() == [f"report.html (view; replaced by flow {LATER})"]
    for forged in (b"", key.sign(start + b" ", dsse.START_TYPE)):
        (later / chain.START_SIGNATURE).write_bytes(forged)
        assert found()[0].startswith("report.html: changed")
    (later / chain.START).write_bytes((flow / chain.START).read_bytes())  # signed, of another flow
    signed = key.sign((flow / chain.START).read_bytes(), dsse.START_TYPE)
    (later / chain.START_SIGNATURE).write_bytes(signed)
    assert found()[0].startswith("report.html: changed")


def test_an_earlier_flow_s_view_is_not_recorded_as_this_one_s(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(f"<p>{LATER}")
    assert views_of(good.FLOW, tmp_path, [("page", tmp_path / "report.html")]) == ([], [])


def test_a_record_of_views_that_was_touched_or_is_another_s_is_named(draw: Draw) -> None:
    flow, later = draw(good.FLOW), draw(LATER)
    path = later / chain.VIEWS
    before = path.read_bytes()
    path.write_bytes(before.replace(b"report.html", b"rep0rt.html"))
    assert said(verify_flow(later))[-1].startswith(f"{chain.VIEWS}: changed")
    shutil.copy(flow / chain.VIEWS, path)
    assert said(verify_flow(later))[-1].startswith(f"{chain.VIEWS}: inconsistent: it is of another")
    path.unlink()
    assert said(verify_flow(later))[-1].startswith(f"{chain.VIEWS}: removed")
    assert verify_flow(later, with_views=False).ok
    assert "report.html: ok" not in said(verify_flow(later, with_views=False))


def test_views_are_not_looked_at_where_that_was_not_asked_or_the_summary_was_touched(
    draw: Draw, tmp_path: Path
) -> None:
    flow = draw(good.FLOW)
    (tmp_path / "report.html").write_text("forged")
    assert said(verify_flow(flow, with_views=False)) == []
    summary = flow / chain.SUMMARY
    summary.write_bytes(summary.read_bytes().replace(b'"ok": true', b'"ok": false'))
    (line,) = said(verify_flow(flow))
    assert line.startswith(f"{chain.SUMMARY}: changed")


def test_odd_records_of_views_are_findings(draw: Draw) -> None:
    path = draw(good.FLOW) / chain.VIEWS
    record = parse_json(path.read_bytes())
    view = record["views"][0]
    for odd in ({**view, "path": "/a\0b"}, {**view, "path": "\ud800"}, {**view, "files": 1}, 5):
        changed = {**record, "views": [odd]}
        changed["digest"] = ""
        try:
            changed["digest"] = chain.own_digest(changed)
        except ValueError:
            pass
        path.write_bytes(pretty_json(changed))
        assert all(line.isprintable() for line in said(verify_flow(path.parent)))
