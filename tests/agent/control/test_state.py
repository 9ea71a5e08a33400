"""The state file: strict, moved by the table alone, never silently taken for INIT."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import lease, state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import NotOurs
from tests.support.sweep_pod import freeze_campaign

Perform = Callable[..., dict[str, Any]]


def at(settings: Settings, name: str) -> None:
    state.reset(settings, name, "for the test")


def test_a_pod_without_a_state_file_is_in_init(settings: Settings) -> None:
    found = state.read_state(settings)

    assert found.state == fsm.INIT
    assert not found.exists
    assert not Path(settings.outputs).exists()


def test_a_move_is_recorded_with_its_reason_and_in_a_second_copy(settings: Settings) -> None:
    state.move(settings, "pod-status", fsm.POD_READY, "the pod answers", "f-1")
    found = state.move(settings, "bootstrap", fsm.BOOTSTRAPPED, "all there")

    assert found == state.read_state(settings)
    assert (found.state, found.previous_state) == (fsm.BOOTSTRAPPED, fsm.POD_READY)
    assert found.flow_id == "f-1"
    assert [step["command"] for step in found.history] == ["pod-status", "bootstrap"]
    copy = json.loads(Path(settings.state_file + ".copy").read_text())
    assert copy["state"] == fsm.BOOTSTRAPPED


def test_the_history_is_bounded(settings: Settings) -> None:
    at(settings, fsm.BOOTSTRAPPED)
    for number in range(state.HISTORY + 5):
        found = state.move(settings, "bootstrap", fsm.BOOTSTRAPPED, str(number))

    assert len(found.history) == state.HISTORY
    assert found.history[-1]["reason"] == str(number)


def test_an_illegal_command_is_refused_and_changes_nothing(settings: Settings) -> None:
    at(settings, fsm.SWEEP_RUNNING)
    before = Path(settings.state_file).read_bytes()

    with pytest.raises(Refusal, match="the pod is in SWEEP_RUNNING") as refused:
        state.move(settings, "checkout", fsm.CHECKED_OUT, "")

    assert refused.value.kind == "illegal-state"
    assert refused.value.facts["allowed"] == [
        s for s in fsm.STATES if s in fsm.COMMANDS["checkout"].legal_in
    ]
    assert Path(settings.state_file).read_bytes() == before


def test_a_legal_command_leads_only_where_the_table_says(settings: Settings) -> None:
    at(settings, fsm.CHECKED_OUT)

    with pytest.raises(Refusal, match="does not lead from CHECKED_OUT to ARTIFACTS_SYNCED"):
        state.move(settings, "sweep-start", fsm.ARTIFACTS_SYNCED, "")


def test_a_reset_moves_no_file_of_somebody_else_away(
    values: dict[str, str], tmp_path: Path
) -> None:
    theirs = tmp_path / "package.json"
    theirs.write_text('{"name": "mine"}')
    settings = Settings({**values, "WF_STATE_FILE": str(theirs)})

    with pytest.raises(NotOurs, match="pytest-wf did not make it"):
        state.reset(settings, fsm.INIT, "by hand")

    assert theirs.read_text() == '{"name": "mine"}'


def test_with_enforcement_off_the_breach_is_recorded(values: dict[str, str]) -> None:
    settings = Settings({**values, "WF_FSM_ENFORCE": "0"})
    at(settings, fsm.SWEEP_RUNNING)

    found = state.move(settings, "checkout", fsm.CHECKED_OUT, "forced")

    assert found.state == fsm.CHECKED_OUT
    assert "not enforced" in found.reason


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "null", "[]", "{}", "\0" * 40, '{"schema": 1}', '{"schema": "1"}'),
        '{"schema": 2, "state": "INIT"}',
        '{"schema":1,"state":"SWEPT","previous_state":"","reason":"","updated_at":"","host":"",'
        '"flow_id":"","history":[]}',
        '{"schema":1,"state":"INIT","previous_state":"","reason":"","updated_at":"","host":"",'
        '"flow_id":"","history":[1]}',
    ],
)
def test_a_damaged_or_newer_file_is_reported_never_taken_for_init(
    settings: Settings, content: str
) -> None:
    path = Path(settings.state_file)
    path.parent.mkdir(parents=True)
    path.write_text(content)

    with pytest.raises(Refusal, match="cannot be read") as refused:
        state.read_state(settings)
    with pytest.raises(Refusal, match="cannot be read"):
        state.move(settings, "pod-status", fsm.POD_READY, "")

    assert refused.value.kind == "state-unreadable"
    assert str(path) in refused.value.message
    assert path.read_text() == content


@pytest.mark.fault("S4")
def test_every_truncation_of_a_state_file_is_noticed(settings: Settings) -> None:
    at(settings, fsm.SWEEP_RUNNING)
    path = Path(settings.state_file)
    Path(settings.state_file + ".copy").unlink()
    whole = path.read_bytes()

    for size in range(len(whole.rstrip())):
        path.write_bytes(whole[:size])
        with pytest.raises(Refusal, match="cannot be read"):
            state.read_state(settings)


def test_a_reset_by_hand_keeps_the_unreadable_file(settings: Settings) -> None:
    path = Path(settings.state_file)
    path.parent.mkdir(parents=True)
    path.write_text("garbage")

    found = state.reset(settings, fsm.CHECKED_OUT, "repaired")

    assert state.read_state(settings).state == fsm.CHECKED_OUT
    assert found.reason == "manual: repaired"
    kept = list(path.parent.glob("*.unreadable-*"))
    assert [p.read_text() for p in kept] == ["garbage"]


def test_an_unreadable_file_names_a_reset_behind_which_a_start_and_a_resume_are_legal(
    settings: Settings,
) -> None:
    path = Path(settings.state_file)
    path.parent.mkdir(parents=True)
    path.write_text("garbage")

    with pytest.raises(Refusal) as refused:
        state.read_state(settings)

    named = re.search(r"`wf fsm-reset (\w+)`", refused.value.remedy)
    assert named, refused.value.remedy
    state.reset(settings, named.group(1), "as told")
    for command in ("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-resume", "fetch"):
        fsm.check(command, state.read_state(settings).state)


def test_there_is_no_reset_to_a_state_that_does_not_exist(settings: Settings) -> None:
    with pytest.raises(Refusal, match="unknown state 'DONE'"):
        state.reset(settings, "DONE", "")


@pytest.mark.parametrize("name", fsm.STATES)
def test_a_pod_that_answers_is_ready_and_a_sweep_goes_on(
    settings: Settings, perform: Perform, name: str
) -> None:
    at(settings, name)
    lease.take(settings, {"host": "a"})

    found = perform("ready", flow_id="f-1")["state"]

    assert found == (fsm.POD_READY if name in (fsm.INIT, fsm.POD_TERMINATED) else name)


def test_a_fetch_that_ends_well_leaves_synced(settings: Settings, perform: Perform) -> None:
    lease.take(settings, {"host": "a"})
    at(settings, fsm.SWEEP_COMPLETED)

    assert perform("fetch-begin")["state"] == fsm.ARTIFACTS_FETCHING
    assert perform("fetch-begin")["state"] == fsm.ARTIFACTS_FETCHING
    assert perform("fetch-end", synced=True)["state"] == fsm.ARTIFACTS_SYNCED
    assert state.read_state(settings).reason == "all results fetched and verified"


def test_a_fetch_that_left_checkpoints_out_does_not_say_that_all_is_there(
    settings: Settings, perform: Perform
) -> None:
    lease.take(settings, {"host": "a"})
    at(settings, fsm.SWEEP_COMPLETED)
    perform("fetch-begin")

    assert perform("fetch-end", synced=True, left_out=True)["state"] == fsm.ARTIFACTS_SYNCED
    assert "but what was left out (checkpoints)" in state.read_state(settings).reason


def test_a_fetch_that_is_not_whole_leaves_the_state_before(
    settings: Settings, perform: Perform
) -> None:
    lease.take(settings, {"host": "a"})
    at(settings, fsm.SWEEP_STALLED)
    perform("fetch-begin")

    assert perform("fetch-end", synced="true")["state"] == fsm.SWEEP_STALLED


def test_a_fetch_leaves_a_running_sweep_alone(settings: Settings, perform: Perform) -> None:
    at(settings, fsm.SWEEP_RUNNING)

    assert perform("fetch-begin")["state"] == fsm.SWEEP_RUNNING
    assert perform("fetch-end", synced=False)["state"] == fsm.SWEEP_RUNNING


def test_a_sweep_that_ends_during_its_fetch_is_synced_all_the_same(
    settings: Settings, perform: Perform
) -> None:
    lease.take(settings, {"host": "a"})
    at(settings, fsm.SWEEP_RUNNING)
    assert perform("fetch-begin")["state"] == fsm.SWEEP_RUNNING
    at(settings, fsm.SWEEP_COMPLETED)

    assert perform("fetch-end", synced=True)["state"] == fsm.ARTIFACTS_SYNCED


def test_a_fetch_waits_for_the_end_of_the_supervisor_of_ended_rows(
    settings: Settings, perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.take(settings, {"host": "a"})
    at(settings, fsm.SWEEP_RUNNING)
    monkeypatch.setattr(time, "sleep", lambda _: at(settings, fsm.SWEEP_COMPLETED))

    assert perform("fetch-end", synced=True)["state"] == fsm.ARTIFACTS_SYNCED


def test_fetching_whose_controller_died_reads_as_the_state_before(
    settings: Settings, perform: Perform
) -> None:
    token = lease.take(settings, {"host": "a"})["token"]
    at(settings, fsm.ARTIFACTS_SYNCED)
    perform("fetch-begin")

    lease.drop(settings, token)

    assert state.read_state(settings).state == fsm.ARTIFACTS_SYNCED
    assert state.require(settings, "checkout").state == fsm.ARTIFACTS_SYNCED


def test_the_state_operation_tells_lease_campaign_and_a_short_history(
    settings: Settings, perform: Perform
) -> None:
    for _ in range(30):
        at(settings, fsm.CHECKED_OUT)
    campaign = freeze_campaign(settings, [])

    shown = perform("state")

    assert shown["lease"] is None
    assert shown["campaign_id"] == campaign.campaign_id
    assert len(shown["history"]) == 20


@pytest.mark.fault("S5")
def test_a_state_of_another_version_says_how_to_begin_afresh(settings: Settings) -> None:
    path = Path(settings.state_file)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 0, "state": "INIT"}')

    with pytest.raises(Refusal, match="an incompatible version of pytest-wf") as refused:
        state.read_state(settings)

    assert str(path) in refused.value.message
    assert "set another OPS_REMOTE_OUTPUTS_DIR" in refused.value.remedy
