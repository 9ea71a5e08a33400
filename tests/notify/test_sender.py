"""Messages to people: sent by the real Apprise to a service on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence.records import FlowSummary
from pytest_wf.flow.notices import MAX_ROWS, Notices
from pytest_wf.notify.sender import Notifier, require, secrets_in
from pytest_wf.project.expectations import Expectations
from pytest_wf.project.project import Options
from pytest_wf.wire.redact import Redactor
from pytest_wf.wire.rows import RowStatus

NOWHERE = "json://127.0.0.1:1/closed-door-1234567"

Make = Callable[..., Notifier]


@pytest.fixture
def said() -> list[str]:
    """What the notifiers of a test have said to whoever watches."""
    return []


@pytest.fixture
def make(said: list[str]) -> Iterator[Make]:
    made: list[Notifier] = []

    def notifier(**urls: str) -> Notifier:
        values = [part for text in urls.values() for part in secrets_in(text)]
        made.append(Notifier(urls, Redactor([*values, "a-secret-word"]), said.append))
        return made[-1]

    yield notifier
    for each in made:
        each.close(0)


def config(*names: str) -> Any:
    return SimpleNamespace(wf_notify=names)


def test_messages_arrive_in_their_order_masked_and_made_readable(
    make: Make, letterbox: Any, said: list[str]
) -> None:
    notifier = make(HOOK_URL=letterbox.url)
    notifier.tell("a row failed", "loss\x1b[2J was a-secret-word", "failure")
    notifier.tell("the end", "x" * 5000, "success")
    notifier.close(60)
    assert letterbox.titles == ["a row failed", "the end"]
    first, last = letterbox.messages
    assert (first["type"], first["message"]) == ("failure", "loss was [redacted]")
    assert len(last["message"]) == 1000
    assert notifier.facts() == {"told": 2, "delivered": 2, "failed": {}, "on_their_way": 0}
    assert said == []


def test_a_variable_may_hold_several_urls_and_each_is_masked(make: Make, letterbox: Any) -> None:
    a, b = letterbox.url_of("/a"), letterbox.url_of("/b")
    notifier = make(HOOK_URL=f"{a} {b}")
    notifier.tell("one", f"see {b}")
    notifier.close(60)
    assert sorted(message["path"][-2:] for message in letterbox.messages) == ["/a", "/b"]
    assert {message["message"] for message in letterbox.messages} == {"see [redacted]"}


def test_a_service_that_fails_costs_one_line_and_the_other_one_nothing(
    make: Make, letterbox: Any, said: list[str]
) -> None:
    notifier = make(CLOSED_URL=NOWHERE, HOOK_URL=letterbox.url)
    for number in range(3):
        notifier.tell(f"message {number}", "text")
    notifier.close(60)
    assert letterbox.titles == ["message 0", "message 1", "message 2"]
    assert notifier.facts()["failed"] == {"CLOSED_URL": 3}
    assert len(said) == 1
    assert said[0].startswith("not delivered by CLOSED_URL (WF_NOTIFY): 'message 0'")
    assert "127.0.0.1" not in said[0]


def test_a_service_that_hangs_is_left_behind(make: Make, letterbox: Any, said: list[str]) -> None:
    letterbox.shut()
    notifier = make(SLOW_URL=letterbox.url)
    notifier.tell("the end", "text")
    process = notifier._process
    assert process is not None
    notifier.close(0.2)
    assert process.returncode == -9
    assert notifier.facts() == {
        "told": 1,
        "delivered": 0,
        "failed": {"SLOW_URL": 1},
        "on_their_way": 0,
    }
    assert "SLOW_URL" in said[0]


def test_a_sender_that_died_fails_messages_and_nothing_else(
    make: Make, letterbox: Any, said: list[str]
) -> None:
    letterbox.shut()  # the first one has no answer, however far it came
    notifier = make(HOOK_URL=letterbox.url)
    notifier.tell("first", "text")
    process = notifier._process
    assert process is not None
    process.kill()
    process.wait()
    notifier.tell("second", "text")
    notifier.tell("third", "text")
    notifier.close(60)
    assert notifier.facts()["failed"] == {"HOOK_URL": 3}
    assert "HOOK_URL" in said[0]


def test_a_sender_whose_flow_is_gone_still_delivers_and_ends(make: Make, letterbox: Any) -> None:
    notifier = make(HOOK_URL=letterbox.url)
    notifier.tell("halted", "text")
    process = notifier._process
    assert process is not None and process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert letterbox.titles == ["halted"]


def test_no_url_starts_nothing(make: Make) -> None:
    notifier = make()
    notifier.tell("the end", "text")
    assert not notifier
    assert notifier._process is None
    assert "apprise" not in sys.modules


def test_what_wf_notify_lacks_is_named_and_its_values_are_not(letterbox: Any) -> None:
    require(config(), {})
    require(config("HOOK_URL"), {"HOOK_URL": letterbox.url})
    assert letterbox.messages == []
    with pytest.raises(OperationFailed) as refused:
        require(config("HOOK_URL", "GONE_URL", "TINY"), {"HOOK_URL": letterbox.url, "TINY": "x://"})
    assert "GONE_URL is not set; TINY is too short" in str(refused.value)
    with pytest.raises(OperationFailed) as refused:
        require(config("HOOK_URL"), {"HOOK_URL": "nosuchservice://tok-9f8e7d6c"})
    assert "HOOK_URL holds no URL of Apprise's" in str(refused.value)
    assert "tok-9f8e7d6c" not in str(refused.value)


def test_without_apprise_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(OperationFailed, match=r"pip install 'pytest-wf\[notify\]'") as refused:
        require(config("HOOK_URL"), {})
    assert "HOOK_URL is not set" in str(refused.value)


@pytest.fixture
def flow() -> Any:
    """As much of a flow as notices look at."""
    return SimpleNamespace(
        project=SimpleNamespace(root=Path("/src/charlm"), options=Options()),
        options={},
        store=SimpleNamespace(dir=Path("/src/charlm/reports/flows/f-1")),
        halt=None,
        phases={},
    )


class Told:
    """Stands where a notifier stands, and keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []

    def tell(self, title: str, body: str, kind: str = "info") -> None:
        self.messages.append((title, body, kind))

    def look(self) -> None:
        """Nothing has come."""

    def close(self) -> None:
        """Nothing to wait for."""

    def facts(self) -> dict[str, Any]:
        """All went well."""
        count = len(self.messages)
        return {"told": count, "delivered": count, "failed": {}, "on_their_way": 0}


def test_a_kept_pod_is_told_with_its_price_where_that_is_known(flow: Any) -> None:
    told = Told()
    notices = Notices(flow, told)  # type: ignore[arg-type]
    notices.kept({"kept": "pod-1", "usd_per_hour": 2.1, "cost_usd": 0.523})
    notices.kept({"kept": "pod-2", "usd_per_hour": None})
    notices.kept({"kept": None})
    first, second = (body.splitlines()[0] for _, body, _ in told.messages)
    assert first == "The pod pod-1 is kept. 2.1 US dollars an hour, 0.52 US dollars so far."
    assert second == "The pod pod-2 is kept. Its price is unknown."


def test_each_failed_row_is_told_once_and_a_flood_is_counted(flow: Any) -> None:
    told = Told()
    notices = Notices(flow, told)  # type: ignore[arg-type]
    judge = Expectations("loss<3", None).judge
    rows = [
        judge(RowStatus("good", "success", metrics={"loss": 2})),
        judge(RowStatus("high", "success", metrics={"loss": 4})),
        judge(RowStatus("dead", "failed", exit_code=3, failure_class="oom")),
        judge(RowStatus("open", "running")),
    ]
    for _ in range(3):
        notices.rows(rows)
    assert [title for title, _, _ in told.messages] == [
        "charlm: row high failed",
        "charlm: row dead failed",
    ]
    assert "expected loss<3, was 4" in told.messages[0][1]
    assert "class oom, exit status 3" in told.messages[1][1]
    notices.rows([judge(RowStatus(f"r{n}", "failed")) for n in range(1000)])
    assert len(told.messages) == MAX_ROWS
    summary = FlowSummary(
        flow_id="f-1",
        ok=False,
        exit_code=1,
        failed_phase="P70",
        failure_code=421,
        started_at="2026-01-02T03:04:05Z",
        ended_at="2026-01-02T03:05:05Z",
        duration_s=60,
        counts={"rows_ok": 1, "rows_failed": 1002, "rows_open": 1},
    )
    assert notices.end(summary) == "notifications: 7 sent, 7 delivered"
    more, (title, body, kind) = told.messages[-2:]
    assert more[0] == "charlm: and 997 more rows failed"
    assert (title, kind) == ("charlm: flow failed", "failure")
    assert "failed (P70, code 421) after 60 s" in body
    assert "rows: ok=1 failed=1002 open=1" in body
