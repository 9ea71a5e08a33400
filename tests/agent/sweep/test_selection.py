"""Each launch of a campaign takes the rows that were selected; the campaign has all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import frozen_campaign, launches
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

#: Records that it ran, and fails where a file in the outputs directory says so.
JOURNALLED = """
with open(outputs / "journal", "a") as journal:
    journal.write(os.environ["RUN_ID"] + "\\n")
while (outputs / "wait").exists() and os.environ["RUN_ID"] == "a": time.sleep(0.02)
sys.exit(3 if (outputs / f"fail-{os.environ['RUN_ID']}").exists() else 0)
"""
ROWS = tuple(make_row(name) for name in "abc")


@pytest.fixture
def pod(pod: Any) -> Any:
    """A pod whose trainer keeps a journal."""
    pod.trainer(JOURNALLED)
    return pod


def trained(pod: Any) -> list[str]:
    """The rows that were trained, in order."""
    journal = pod.outputs / "journal"
    return journal.read_text().split() if journal.exists() else []


def test_a_launch_trains_the_selected_rows_of_the_whole_frozen_csv(pod: Any) -> None:
    answer = pod.start(*ROWS, selected=["b"])
    assert (answer["to_run"], answer["not_selected"]) == (["b"], ["a", "c"])
    assert pod.states() == {"a": "not_selected", "b": "success", "c": "not_selected"}
    assert trained(pod) == ["b"]
    assert [row.run_id for row in frozen_campaign.find(pod.settings).rows] == ["a", "b", "c"]


def test_a_campaign_is_complete_when_the_selected_rows_have_ended(pod: Any) -> None:
    pod.start(*ROWS, selected=["b"])
    status = pod.ended()
    assert status["state"] == fsm.SWEEP_COMPLETED
    assert (status["total"], status["ok"], status["not_selected"]) == (3, 1, 2)
    assert (status["missing_dir"], status["in_progress"]) == (0, 0)


def test_a_selection_gives_the_order_in_which_rows_begin(pod: Any) -> None:
    pod.start(*ROWS, selected=["c", "a"])
    pod.ended()
    assert trained(pod) == ["c", "a"]


def test_a_resume_without_a_selection_takes_all_unfinished_rows(pod: Any) -> None:
    pod.start(*ROWS, selected=["b"])
    pod.ended()
    assert pod.resume_with()["to_run"] == ["a", "c"]
    assert set(pod.states().values()) == {"success"}
    assert trained(pod) == ["b", "a", "c"]


def test_a_resume_trains_selected_rows_alone_and_leaves_other_failed_ones(pod: Any) -> None:
    for name in "ab":
        (pod.outputs / f"fail-{name}").touch()
    pod.run_to_end(*ROWS)
    (pod.outputs / "fail-a").unlink()
    assert pod.resume_with(selected=["a", "c"])["to_run"] == ["a"]
    assert pod.states() == {"a": "success", "b": "failed", "c": "success"}
    assert trained(pod) == ["a", "b", "c", "a"]
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED


def test_rows_of_an_earlier_launch_that_have_not_ended_leave_the_sweep_stalled(pod: Any) -> None:
    (pod.outputs / "fail-a").touch()
    pod.start(*ROWS, selected=["a", "b"], fail_fast=True)
    assert pod.states() == {"a": "failed", "b": "pending", "c": "not_selected"}
    pod.resume_with(selected=["c"], fail_fast=True)
    assert pod.states() == {"a": "failed", "b": "pending", "c": "success"}
    status = pod.status()
    assert status["state"] == fsm.SWEEP_STALLED
    assert "b have not" in status["reason"]


def test_a_row_that_was_never_selected_keeps_its_old_directory_until_it_is(pod: Any) -> None:
    (pod.outputs / "fail-a").touch()
    first = pod.start(*ROWS)["campaign_id"]
    pod.ended()
    (pod.outputs / "fail-a").unlink()
    answer = pod.start(*ROWS, make_row("d"), selected=["d"])
    assert set(answer["adopted"]) == {"b", "c"}
    assert pod.states() == {"a": "not_selected", "b": "success", "c": "success", "d": "success"}
    assert pod.summary("a")["campaign_id"] == first


@pytest.mark.parametrize("selected", [["no-such-row"], "a", [1]])
def test_a_selection_that_is_not_of_the_rows_is_refused(pod: Any, selected: Any) -> None:
    with pytest.raises(OperationFailed, match=r"no row is called|not a list") as refused:
        pod.start(*ROWS, selected=selected)
    assert refused.value.kind == "manifest"
    assert trained(pod) == []


def test_a_running_sweep_takes_on_rows_that_a_later_launch_selects(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    pod.start(*ROWS, selected=["a"])
    until(lambda: trained(pod) == ["a"], "a runs")
    assert pod.resume_with(selected=["c"])["attached"] is True
    assert pod.rows()["c"]["state"] in ("pending", "running", "success")
    assert pod.rows()["b"]["state"] == "not_selected"
    assert pod.resume_with()["attached"] is True
    (pod.outputs / "wait").unlink()
    assert set(pod.states().values()) == {"success"}
    assert trained(pod) == ["a", "c", "b"]


def test_attaching_trains_no_row_of_the_running_launch_again(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    pod.start(*ROWS, selected=["a"])
    until(lambda: trained(pod) == ["a"], "a runs")
    answer = pod.resume_with(selected=["a"])
    assert (answer["attached"], answer["to_run"]) == (True, ["a"])
    (pod.outputs / "wait").unlink()
    pod.ended()
    assert trained(pod) == ["a"]
    assert launches.last_number(frozen_campaign.find(pod.settings)) == 1


def test_a_killed_sweep_goes_on_with_the_selected_rows(pod: Any) -> None:
    (pod.outputs / "wait").touch()
    pod.start(*ROWS, selected=["a", "b"])
    until(lambda: trained(pod) == ["a"], "a runs")
    assert pod.kill_supervisor()
    (pod.outputs / "wait").unlink()
    pod.resume_with(selected=["b"])
    assert pod.states() == {"a": "success", "b": "success", "c": "not_selected"}
    assert trained(pod) == ["a", "b"]


def test_a_row_that_trained_well_is_trained_again_where_it_is_named(pod: Any) -> None:
    pod.run_to_end(*ROWS)
    answer = pod.resume_with(selected=["a"], again=["a"])
    assert answer["to_run"] == ["a"]
    assert set(pod.states().values()) == {"success"}
    assert trained(pod) == ["a", "b", "c", "a"]


def test_a_damaged_record_of_a_launch_makes_rows_missing_rather_than_not_selected(pod: Any) -> None:
    pod.start(*ROWS, selected=["b"])
    pod.ended()
    campaign = frozen_campaign.find(pod.settings)
    for record in Path(campaign.folder).glob("launches/*"):
        record.write_text("{")
    launches._read.clear()
    assert launches.selected(campaign) is None
