"""A campaign that several pods share: each trains the rows of its own member."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_wf.agent.control import frozen_campaign
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from pytest_wf.wire.assignment import Owner, ShardView
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

ROWS = tuple(make_row(name) for name in "abc")
CAMPAIGN = "c-20260102T030405Z-abcdef"
SHARED: dict[str, Any] = {
    "campaign_id": CAMPAIGN,
    "member": "pod2",
    "assignment": {"a": ["pod1", 1], "b": ["pod2", 1], "c": ["pod1", 1]},
}


def test_a_pod_trains_the_rows_of_its_member_alone(pod: Any) -> None:
    answer = pod.start(*ROWS, **SHARED)
    assert answer["campaign_id"] == CAMPAIGN
    assert (answer["total"], answer["to_run"]) == (1, ["b"])
    assert pod.states() == {"a": "other_pod", "b": "success", "c": "other_pod"}
    assert not (pod.outputs / "a").exists()
    status = pod.status()
    assert status["state"] == fsm.SWEEP_COMPLETED
    assert (status["total"], status["ok"]) == (1, 1)
    assert status["rows"][0]["reason"] == "with pod1"


def test_the_whole_manifest_is_frozen_with_the_owners(pod: Any) -> None:
    pod.start(*ROWS, **SHARED)
    found = frozen_campaign.find(pod.settings)
    assert [row.run_id for row in found.rows] == ["a", "b", "c"]
    assert found.member == "pod2"
    assert {run_id: list(owner) for run_id, owner in found.assignment.items()} == SHARED[
        "assignment"
    ]


def test_a_campaign_is_frozen_without_a_launch_and_launched_by_a_resume(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED)
    assert pod.read("_control/workflow_state.json")["state"] == fsm.CHECKED_OUT
    assert pod.status()["supervisor"] == "gone"
    assert pod.rows()["b"]["state"] == "pending"
    assert pod.resume()["to_run"] == ["b"]
    assert pod.states() == {"a": "other_pod", "b": "success", "c": "other_pod"}


def test_a_run_of_another_member_stays_where_it_is(pod: Any) -> None:
    pod.run_to_end(*ROWS)
    answer = pod.start(*ROWS, force=True, **SHARED)
    assert [run["run_id"] for run in answer["archived"]] == ["b"]
    assert answer["plan"] == {"adopted": 0, "again": 1, "new": 0}
    pod.ended()
    assert pod.summary("a")["campaign_id"] != CAMPAIGN


def test_a_resume_runs_failed_rows_of_its_member_alone(pod: Any) -> None:
    pod.trainer("sys.exit(0 if (outputs / 'good').exists() else 3)")
    pod.start(*ROWS, **SHARED)
    assert pod.states()["b"] == "failed"
    (pod.outputs / "good").touch()
    assert pod.resume()["to_run"] == ["b"]
    assert pod.states() == {"a": "other_pod", "b": "success", "c": "other_pod"}


def test_a_start_that_is_not_shared_writes_nothing_of_it(pod: Any) -> None:
    answer = pod.start(*ROWS)
    body = pod.read(f"_control/campaigns/{answer['campaign_id']}/campaign.json")
    assert not {"member", "assignment", "members"} & body.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"member": None}, "not a member"),
        ({"member": "../x"}, "not a member"),
        ({"assignment": None}, "cannot be read"),
        ({"assignment": {"a": ["pod1", 1]}}, "not one of the manifest's rows"),
        ({"assignment": {**SHARED["assignment"], "a": ["pod1", 0]}}, "not an epoch"),
        ({"members": ["pod1", "x"]}, "cannot be read"),
        ({"campaign_id": "../x"}, "not a campaign id"),
    ],
)
def test_a_shard_that_does_not_fit_is_refused(pod: Any, wrong: Any, message: str) -> None:
    with pytest.raises(OperationFailed, match=message) as refused:
        pod.start(*ROWS, **{**SHARED, **wrong})
    assert refused.value.kind == "manifest"


def test_two_members_on_one_outputs_directory_are_refused(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED)
    with pytest.raises(OperationFailed, match="is on this pod already") as refused:
        pod.start(*ROWS, launch=False, **{**SHARED, "member": "pod1"})
    assert refused.value.kind == "run-exists"


def ask(pod: Any, op: str, **args: Any) -> dict[str, Any]:
    """The answer to an operation on the shared campaign."""
    known = {"campaign_id": CAMPAIGN, "flow_id": "f-3", "secrets": {}}
    answer: dict[str, Any] = pod.client.request(op, {**known, **args})
    return answer


def test_a_pod_knows_for_which_members_the_campaign_was_frozen(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED, members=["pod1", "pod2", "pod4"])
    view = ShardView.from_json(ask(pod, "campaign-shard"))
    assert view.members == {"pod1", "pod2", "pod4"}


def test_a_launch_tells_a_pod_that_a_member_has_refused_the_campaign(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED, members=["pod1", "pod2", "pod4"])
    assert "pod4" in ShardView.from_json(ask(pod, "campaign-shard")).members
    for members in (["pod1", "pod2"], ["pod1", "pod2", "pod3"], ["pod1"]):
        ask(pod, "campaign-resume", members=members)
        view = ShardView.from_json(ask(pod, "campaign-shard"))
        assert view.members == {"pod1", "pod2"}


def test_a_ceded_row_does_not_begin_and_one_that_has_begun_is_not_ceded(pod: Any) -> None:
    pod.trainer("while not (outputs / 'go').exists(): time.sleep(0.02)")
    pod.start(*ROWS, **{**SHARED, "assignment": {run_id: ["pod2", 1] for run_id in "abc"}})
    until(lambda: pod.rows()["a"]["state"] == "running")
    expected = {"ceded": {"c": ["pod1", 2]}, "kept": {"a": "begun"}, "campaign_id": CAMPAIGN}
    for _ in range(2):
        assert ask(pod, "campaign-cede", rows={"a": 1, "c": 1}, to="pod1") == expected
    (pod.outputs / "go").touch()
    assert pod.states() == {"a": "success", "b": "success", "c": "other_pod"}
    view = ShardView.from_json(ask(pod, "campaign-shard"))
    assert view.owners["c"] == (Owner("pod1", 2), "ceded")
    assert (sorted(view.begun), view.waiting) == (["a", "b"], {})


def test_an_answer_of_a_pods_own_rows_leaves_out_others_until_they_change(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED)
    status = pod.status(own=True, changes=True)
    assert [(row["run_id"], row["state"]) for row in status["rows"]] == [("b", "pending")]
    ask(pod, "campaign-assign", rows={"a": ["pod2", 2]})
    ask(pod, "campaign-cede", rows={"b": 1}, to="pod1")
    now = pod.status(own=True, changes=True, seen=status["seen"])
    assert {row["run_id"]: row["state"] for row in now["rows"]} == {
        "a": "pending",
        "b": "other_pod",
    }
    assert (now["since"], now["total"]) == (status["seen"], 1)


def test_a_view_of_what_changed_is_completed_by_the_frozen_owners(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED)
    first = ShardView.from_json(ask(pod, "campaign-shard"))
    ask(pod, "campaign-assign", rows={"a": ["pod2", 2]})
    changes = ask(pod, "campaign-shard", changes=True)
    assert changes["rows"] == {"a": ["pod2", 2, "given"]}
    whole = ShardView.from_json(ask(pod, "campaign-shard"))
    assert ShardView.from_json(changes, first.frozen) == whole
    (pod.outputs / "_control/campaigns" / CAMPAIGN / "given/c.2").write_text("{")
    changes = ask(pod, "campaign-shard", changes=True)
    assert changes["unreadable"] == ["c"]
    assert set(ShardView.from_json(changes, first.frozen).owners) == {"a", "b"}


def test_a_sweep_that_has_ended_trains_a_row_that_it_is_given(pod: Any) -> None:
    pod.start(*ROWS, **SHARED)
    assert pod.ended()["state"] == fsm.SWEEP_COMPLETED
    answer = ask(pod, "campaign-assign", rows={"a": ["pod2", 2], "c": ["pod3", 2]})
    assert (answer["launched"], answer["state"]) == (True, fsm.SWEEP_RUNNING)
    assert pod.states() == {"a": "success", "b": "success", "c": "other_pod"}
    assert pod.rows()["c"]["reason"] == "with pod3"
    again = ask(pod, "campaign-assign", rows={"a": ["pod2", 2], "c": ["pod1", 1]})
    assert (again["launched"], again["kept"]) == (False, {"c": "moved"})
    assert pod.summary("a")["attempts"] == 1


def test_a_sweep_that_runs_takes_on_a_row_that_it_is_given(pod: Any) -> None:
    pod.trainer("while not (outputs / 'go').exists(): time.sleep(0.02)")
    pod.start(*ROWS, **SHARED)
    until(lambda: pod.rows()["b"]["state"] == "running")
    assert ask(pod, "campaign-assign", rows={"a": ["pod2", 2]})["launched"] is True
    assert pod.rows()["a"]["state"] == "pending"
    (pod.outputs / "go").touch()
    assert pod.states() == {"a": "success", "b": "success", "c": "other_pod"}


def test_a_pod_that_was_not_launched_trains_a_given_row_when_it_is_resumed(pod: Any) -> None:
    pod.start(*ROWS, launch=False, **SHARED)
    answer = ask(pod, "campaign-assign", rows={"a": ["pod2", 2]})
    assert (answer["launched"], answer["state"]) == (False, fsm.CHECKED_OUT)
    assert pod.resume()["to_run"] == ["a", "b"]
    assert pod.states() == {"a": "success", "b": "success", "c": "other_pod"}
