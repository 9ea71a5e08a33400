"""The file itself: self-contained, and text stays text wherever it stands."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from typer.testing import CliRunner

from pytest_wf.cli.main import app
from pytest_wf.report.data import script_json
from pytest_wf.report.links import Links
from pytest_wf.report.page import duration, write_report
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.safe_text import CONTROLS
from tests.support.secret_forms import told

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&\u2028{{7*7}}"


class Document(HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def written(flow: Any, redactor: Redactor | None = None) -> tuple[str, Document]:
    html = write_report([flow.folder], flow.page, redactor).read_text(encoding="utf-8")
    return html, Document(html)


def test_templates_are_compiled_once(
    new_flow: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    compiled = []
    compile_ = jinja2.Environment.compile

    def counted(*args: Any, **kwargs: Any) -> Any:
        compiled.append(args)
        return compile_(*args, **kwargs)

    monkeypatch.setattr(jinja2.Environment, "compile", counted)
    flow = new_flow()
    flow.start([])
    written(flow)
    assert compiled
    compiled.clear()
    written(flow)
    assert not compiled


@pytest.mark.parametrize("damage", [b"", b"j2", None], ids=["empty", "short", "cut"])
def test_a_damaged_compiled_template_is_compiled_again(
    new_flow: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: bytes | None,
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    flow = new_flow()
    flow.start([])
    written(flow)
    kept = list((tmp_path / "compiled").rglob("*.html.*"))
    assert kept
    whole = [path.read_bytes() for path in kept]
    for path, content in zip(kept, whole, strict=True):
        path.write_bytes(content[:-9] if damage is None else damage)
    written(flow)
    assert [path.read_bytes() for path in kept] == whole


def evil_flow(new_flow: Callable[..., Any]) -> Any:
    """Every text that a pod, a trainer or a config can say is hostile."""
    flow = new_flow()
    row = {
        "run_id": "r1",
        "index": 0,
        "state": "failed",
        "ok": False,
        "failure_class": EVIL,
        "reason": EVIL,
        "metrics": {EVIL: EVIL, "val_loss": 1.0},
    }
    flow.start([row])
    flow.phase("P20", resolved_target=EVIL)
    flow.phase("P30", facts={"probe": {"gpus": [{"name": EVIL}], "os": EVIL}})
    flow.run(
        "r1", [{"step": 1, EVIL: 1.0, "val_loss": 2.0}], log=f"{EVIL}\n\x1b]0;title\x07{EVIL}\n"
    )
    flow.store.attach(f"{EVIL}.txt", b"x")
    flow.sweep()
    flow.phase("P90", status="fail", failure=(590, EVIL, EVIL))
    return flow


def test_the_page_names_no_address_but_relative_ones(passed_flow: Any) -> None:
    _, document = written(passed_flow)
    for tag, attributes in document.elements:
        for name in ("href", "src", "action", "srcset", "data", "poster"):
            value = attributes.get(name)
            if value is not None:
                assert re.match(r"\./|\.\./|#|data:,$", value), (tag, value)
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes, tag


def test_the_policy_lets_through_our_script_and_style_and_nothing_else(passed_flow: Any) -> None:
    _, document = written(passed_flow)
    [policy] = [
        str(a["content"]) for t, a in document.elements if "http-equiv" in a and t == "meta"
    ]
    style, _, script = document.scripts
    digests = [
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (script, style)
    ]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_hostile_text_makes_no_element_and_ends_no_script(new_flow: Callable[..., Any]) -> None:
    html, document = written(evil_flow(new_flow))
    assert [tag for tag, _ in document.elements].count("script") == 2
    assert "img" not in [tag for tag, _ in document.elements]
    assert "onerror" in html
    assert "<img" not in html
    assert "{{7*7}}" in html  # text is no template either
    data = json.loads(document.scripts[1])
    assert data["rows"][0]["reason"] == EVIL
    assert data["rows"][0]["log_tail"].count(EVIL) == 2
    assert EVIL in data["metrics"]


def test_json_in_a_script_cannot_end_it() -> None:
    text = script_json({"a": EVIL, "<!--": "]]>"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": EVIL, "<!--": "]]>"}


def test_secrets_are_masked_wherever_they_stand(new_flow: Callable[..., Any]) -> None:
    secret = "hunter2<&>secret"
    flow = new_flow()
    row = {"run_id": "r1", "index": 0, "state": "failed", "reason": f"key {secret}"}
    flow.start([row]).phase("P20", resolved_target=secret)
    flow.run("r1", [{"step": 1, secret: 1.0}], log=f"token {secret}")
    flow.sweep()
    html, _ = written(flow, Redactor([secret]))
    assert "hunter2" not in html
    assert html.count("[redacted]") >= 4


def test_a_secret_among_the_parameters_is_masked_also_where_it_is_a_number(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    flow = new_flow().start([new_row("a", 0), new_row("b", 1)])
    flow.sweep({"a": "x.py,1,pin=1234567890123 lr=0.1", "b": "x.py,2,pin=9 lr=0.1"}).end()
    html, document = written(flow, Redactor(["1234567890123"]))
    assert "1234567890123" not in html
    data = json.loads(document.scripts[1])
    assert data["parameters"] == ["seed", "pin"]
    assert [row["params"] for row in data["rows"]] == [[1, "[redacted]"], [2, 9]]


def test_the_metric_of_the_ranking_is_spelled_as_rows_spell_it(
    new_flow: Callable[..., Any], new_row: Callable[..., Any]
) -> None:
    ends = {"Val_Loss": {"step": 1, "min": 1.0, "min_step": 1, "max": 2.0, "max_step": 0}}
    flow = new_flow()
    flow.start([new_row("a", 0, metrics={"Val_Loss": 1.5}, extremes=ends)], "min(val_loss)")
    _, document = written(flow.sweep())
    data = json.loads(document.scripts[1])
    assert data["rank"] == {"metric": "min(Val_Loss)", "goal": "minimize", "ranked": 1}
    assert data["rows"][0]["rank"] == 1


def test_the_page_is_drawn_over_an_old_one_and_leaves_the_evidence_alone(passed_flow: Any) -> None:
    written(passed_flow)
    before = {p: p.read_bytes() for p in passed_flow.folder.iterdir()}
    html, _ = written(passed_flow)
    assert html.startswith("<!doctype html>")
    assert {p: p.read_bytes() for p in passed_flow.folder.iterdir()} == before


def test_the_plotting_library_comes_with_its_licence() -> None:
    import pytest_wf.report

    static = Path(pytest_wf.report.__file__).parent / "static" / "uplot"
    assert "MIT License" in (static / "LICENSE").read_text()
    assert "uPlot (v1.6" in (static / "uPlot.iife.min.js").read_text()[:100]


@pytest.mark.parametrize("name", ["javascript:alert(1)", "data:x", "a b#c?d", "//host/x", "ü"])
def test_a_link_is_a_relative_path_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    href = Links(tmp_path).to(tmp_path / "flows" / name.replace("//", ""), "x").href
    assert re.fullmatch(r"\./flows/[A-Za-z0-9%._/-]+", href)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.42, "420 ms"),
        (7.44, "7.4 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations_are_told_as_people_read_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_no_text_steers_whoever_reads_the_page_or_its_data(new_flow: Callable[..., Any]) -> None:
    steering = "a\x1b]0;owned\x07\u202eb\x9b2J\u2066"
    flow = new_flow()
    row = {"run_id": "r1", "index": 0, "state": "failed", "reason": steering}
    flow.start([row]).phase("P20", resolved_target=steering)
    flow.run("r1", [{"step": 1, steering: 1.0}], log=steering)
    flow.sweep()
    html, document = written(flow)
    data = document.scripts[1]
    assert CONTROLS.search(html.replace("\r", "")) is None
    assert "a\ufffdb" in html
    assert CONTROLS.search(json.dumps(json.loads(data), ensure_ascii=False)) is None


def test_a_page_that_is_drawn_again_masks_what_this_environment_knows(
    new_flow: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-and-a-token"
    flow = new_flow()
    row = {"run_id": "r1", "index": 0, "state": "failed", "reason": "\x1b[1m".join(secret)}
    flow.start([row]).phase("P20", resolved_target=secret.encode().hex(":"))
    flow.sweep()
    monkeypatch.setenv("HF_TOKEN", secret)
    monkeypatch.chdir(flow.project)
    CliRunner().invoke(app, ["report", str(flow.folder), "-o", str(flow.page)])
    html = flow.page.read_text(encoding="utf-8")
    assert not told(secret, html)
    assert html.count("[redacted]") >= 2
