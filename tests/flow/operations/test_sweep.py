"""Watching a sweep where the pod is slow or silent: unknown is waited out, and costs no fact."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.flow.session import PodSession
from pytest_wf.pods.patience import Patience
from pytest_wf.wire.rows import RowStatus
from tests.support.campaigns import campaign

SLOW = OperationFailed("timeout", "'campaign' did not end on the pod within 65 s.")


class _Config:
    wf_flow_wait_interval_secs = 1
    wf_flow_wait_max_polls = 0
    wf_expect = "loss<3"


class _Session:
    """Answers a row's states one after the other; what is an error is raised."""

    project = SimpleNamespace(baseline=None, rows=[SimpleNamespace(run_id="one", index=1)])
    loss = 2

    def __init__(self, *answers: str | Exception, patience_s: float = 60) -> None:
        self._answers = list(answers)
        self.config = _Config()
        self.patience = Patience(patience_s)

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            self.patience.silent(str(answer))
            raise answer
        self.patience.answered()
        row = RowStatus("one", answer, metrics={"loss": self.loss})
        return campaign(row, seen=answer).as_json()


def sweep(*answers: str | Exception, **more: Any) -> Sweep:
    return Sweep(cast(PodSession, _Session(*answers, **more)))


def test_a_pod_that_answers_too_slowly_is_asked_again() -> None:
    watched = sweep("running", SLOW, SLOW, "success")
    assert watched.follow("one", wait=True).state == "success"


def test_the_open_rows_of_a_lost_pod_are_unknown_and_say_since_when() -> None:
    watched = sweep("running", LinkLost("gone"), patience_s=0)
    with pytest.raises(LinkLost, match=r"row one is unknown: pod lost since \d\d:\d\d"):
        watched.follow("one", wait=True)
    row = watched.last_row("one")
    assert row is not None
    assert (row.state, row.ok) == ("unknown", None)
    assert str(row.reason).startswith("pod lost since ")


def test_the_rows_of_a_pod_that_is_lost_before_it_was_seen_are_those_of_the_csv() -> None:
    watched = sweep(LinkLost("gone"), patience_s=0)
    with pytest.raises(LinkLost, match="row one is unknown: pod lost since"):
        watched.follow("one", wait=True)
    assert [(row.run_id, row.state) for row in watched.last_rows] == [("one", "unknown")]


def test_a_row_that_had_ended_stays_known_when_its_pod_is_lost() -> None:
    watched = sweep("success", LinkLost("gone"), patience_s=0)
    assert watched.follow("one", wait=True).ok
    with pytest.raises(LinkLost):
        watched.status(fresh=True)
    assert watched.follow("one", wait=True).ok


def test_a_stop_by_the_user_is_told_as_one_and_not_as_a_stall() -> None:
    class Stopped(_Session):
        def request(self, *args: Any, **more: Any) -> dict[str, Any]:
            row = RowStatus("one", "pending")
            return campaign(row, supervisor="ended", stopped=True).as_json()

    with pytest.raises(OperationFailed, match="the user has stopped campaign c-1") as refused:
        Sweep(cast(PodSession, Stopped())).follow("one", wait=True)
    assert refused.value.kind == "sweep-stopped"


def test_a_row_that_breaks_an_expectation_has_failed_wherever_it_is_asked_for() -> None:
    session = _Session("running", "success")
    session.loss = 4
    watched = Sweep(cast(PodSession, session))
    row = watched.follow("one", wait=True)
    assert (row.state, row.ok, row.failure_class) == ("failed", False, "expect")
    assert row.reason == "expected loss<3, was 4"
    status = watched.status()
    assert status is not None
    assert (status.counts()["ok"], status.failed) == (0, 1)


def test_a_pod_that_stays_slow_is_given_up_and_a_refusal_at_once() -> None:
    with pytest.raises(OperationFailed, match="within 65 s"):
        sweep("running", SLOW, patience_s=0).follow("one", wait=True)
    with pytest.raises(OperationFailed, match="broken"):
        sweep("running", OperationFailed("agent-broken", "broken"), "success").follow_all()


@pytest.mark.parametrize("error", [SLOW, LinkLost("gone"), TimeoutError()])
def test_a_log_that_cannot_be_had_hides_no_rows_fate(error: Exception) -> None:
    assert sweep(error).tail("one") == ""


@pytest.mark.parametrize(
    "bent",
    [
        {"rows": {}},
        {"rows": ["one"]},
        {"rows": [{"run_id": "../one", "state": "running"}]},
        {"rows": [{"run_id": "one", "state": "splendid"}]},
        {"rows": [{"run_id": "one", "state": "success", "metrics": []}]},
        {"rows": [{"run_id": "one", "state": "running", "live": {"steps": "many"}}]},
        {"supervisor": []},
        {"campaign_id": None},
        {"now": 1},
    ],
)
def test_an_answer_that_is_no_status_is_refused(bent: dict[str, object]) -> None:
    class Bent(_Session):
        def request(self, *args: Any, **more: Any) -> dict[str, Any]:
            return {**campaign(RowStatus("one", "running")).as_json(), **bent}

    with pytest.raises(OperationFailed) as refused:
        Sweep(cast(PodSession, Bent())).follow("one", wait=True)
    assert refused.value.kind == "hostile-answer"


class _Changing(_Session):
    """A pod of two rows that sends what changed since the version that it is asked with."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[object] = []

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        seen = (args or {}).get("seen")
        self.asked.append(seen)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            self.patience.silent(str(answer))
            raise answer
        self.patience.answered()
        rows, version, since = answer
        found = [RowStatus(name, state, metrics={"loss": 2}) for name, state in rows.items()]
        return campaign(*found, seen=version, since=since).as_json()


BOTH = {"one": "running", "two": "pending"}


def _states(watched: Sweep) -> dict[str, str]:
    return {row.run_id: row.state for row in watched.last_rows}


def test_an_answer_of_what_changed_leaves_the_other_rows_as_they_were() -> None:
    pod = _Changing((BOTH, "v1", ""), ({"one": "success"}, "v2", "v1"), ({}, "v2", "v2"))
    watched = Sweep(cast(PodSession, pod))
    for expected in (BOTH, {"one": "success", "two": "pending"}, None):
        found = watched.status(fresh=True)
        assert found is not None
        assert [row.run_id for row in found.rows] == ["one", "two"]
        assert _states(watched) == (expected or {"one": "success", "two": "pending"})
    assert pod.asked == [None, "v1", "v2"]
    row = watched.last_row("one")
    assert row is not None
    assert [e["ok"] for e in row.expectations] == [True]


@pytest.mark.parametrize(
    "answer",
    [({"three": "success"}, "v2", "v1"), ({"one": "success"}, "v2", "v0")],
    ids=["of a row that is not there", "since another version"],
)
def test_changes_that_do_not_fit_are_a_hostile_answer(answer: Any) -> None:
    watched = Sweep(cast(PodSession, _Changing((BOTH, "v1", ""), answer)))
    watched.status()
    with pytest.raises(OperationFailed, match="its status") as refused:
        watched.status(fresh=True)
    assert refused.value.kind == "hostile-answer"


def test_a_pod_that_comes_back_is_asked_for_all_rows() -> None:
    back = ({"one": "running", "two": "running"}, "v2", "")
    pod = _Changing((BOTH, "v1", ""), LinkLost("gone"), back)
    pod.patience = Patience(0)
    watched = Sweep(cast(PodSession, pod))
    watched.status()
    with pytest.raises(LinkLost):
        watched.status(fresh=True)
    assert _states(watched) == {"one": "unknown", "two": "unknown"}
    watched.status(fresh=True)
    assert pod.asked == [None, "v1", ""]
    assert _states(watched) == {"one": "running", "two": "running"}
