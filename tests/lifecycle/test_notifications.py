"""A flow tells people what they have to know, and keeps the addresses to itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ALL = ("--wf-wait=true", "--wf-fetch=all")
NOWHERE = "json://127.0.0.1:1/closed-door-1234567"


#: Asserts on what the environment holds, so that pytest shows it.
LEAK = """\
import os
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.phase("P70", rows=True)
def test_row_is_named_so(wf_run):
    \"\"\"Never.\"\"\"
    print(os.environ["CLOSED_URL"])
    assert os.environ["HOOK_URL"] == wf_run.run_id
"""


def _with_urls(project: Any, letterbox: Any) -> None:
    project.environ["HOOK_URL"] = letterbox.url
    project.environ["CLOSED_URL"] = NOWHERE
    project.configure(WF_NOTIFY="'HOOK_URL CLOSED_URL'", RUN_RETRIES="0")


def _secrets(letterbox: Any) -> list[str]:
    return [letterbox.url, *letterbox.url.split("//")[1].split("@")[0].split(":")[1:], NOWHERE]


def test_failed_rows_a_kept_pod_and_the_end_are_told_and_no_url_is_seen(
    new_project: Callable[..., Any], letterbox: Any
) -> None:
    project = new_project(
        rows=("good,default.py,1,,", "high,default.py,2,steps=2,", "dead,default.py,3,exit=3,")
    )
    _with_urls(project, letterbox)
    project.configure(WF_EXPECT="train_loss<1.2")
    (project.root / "flows" / "test_leak.py").write_text(LEAK)
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    name = project.root.name
    assert sorted(letterbox.titles[:2]) == [f"{name}: row dead failed", f"{name}: row high failed"]
    assert letterbox.titles[2:] == [f"{name}: pod local kept", f"{name}: flow failed"]
    by_title = {message["title"]: message["message"] for message in letterbox.messages}
    assert "expected train_loss<1.2, was 1.5" in by_title[f"{name}: row high failed"]
    assert "exit status 3" in by_title[f"{name}: row dead failed"]
    end = by_title[f"{name}: flow failed"]
    assert "rows: ok=1 failed=2 open=0" in end
    assert "failed (P70, code 421)" in end
    assert f"report: {project.root}/reports/report.html" in end
    lines = [line for line in flown.output.splitlines() if "not delivered" in line]
    assert len(lines) == 1
    assert "CLOSED_URL (WF_NOTIFY)" in lines[0]
    facts = flown.record("phase.P99.evidence")["facts"]["notifications"]
    assert facts["told"] == 3
    last = (project.root / "reports" / "checklist.md.last").read_text()
    assert "notifications: 4 sent, 4 delivered, not delivered: 4 by CLOSED_URL" in last
    for path in [p for p in (project.root / "reports").rglob("*") if p.is_file()]:
        content = path.read_text(errors="replace")
        assert not [s for s in _secrets(letterbox) if s in content], path
    assert not [s for s in _secrets(letterbox) if s in flown.output]
    assert "[redacted]" in flown.output


def test_a_halt_is_told_and_a_variable_that_is_not_set_is_a_mistake_of_the_precheck(
    new_project: Callable[..., Any], letterbox: Any
) -> None:
    project = new_project()
    _with_urls(project, letterbox)
    project.configure(EXPECT_GIT_SHA="0" * 40)
    project.environ.pop("CLOSED_URL")
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert "WF_NOTIFY: CLOSED_URL is not set" in flown.output
    assert letterbox.url not in flown.output
    assert letterbox.titles == [
        f"{project.root.name}: halted by P00 (code 101)",
        f"{project.root.name}: flow failed",
    ]
