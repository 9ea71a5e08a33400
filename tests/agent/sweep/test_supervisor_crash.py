"""Supervisors and runners that are killed: nothing is run twice, nothing is lost."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import frozen_campaign
from pytest_wf.agent.run.attempt import Attempt, spec_of
from pytest_wf.agent.run.executor import Share
from pytest_wf.agent.run.run_dir import RowDir
from pytest_wf.agent.run.runner_base import Runner
from pytest_wf.agent.sweep.supervisor import Supervisor
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.files import parse_json, read_json, write_json
from tests.support.agent_pod import OWNER
from tests.support.sweep_pod import freeze_campaign, make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_wf.pods.rpc.client import AgentClient

    MakeRow = Callable[..., dict[str, Any]]

COUNTING = (
    "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
    "i = 0\nwhile not (outputs / 'go').exists() or i < 5:\n"
    "    print('line', i, flush=True); i += 1; time.sleep(0.02)\n"
    "print('last', i - 1, flush=True)\n"
)


@pytest.mark.fault("P6")
def test_killed_supervisor_is_resumed_without_a_second_run_or_a_gap_in_the_log(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"), make_row("b"))
    until(lambda: "line 3" in (pod.wait_for_file("a/stdout.log")).read_text(), "row a talks")
    assert pod.kill_supervisor()
    status = pod.status()
    assert (status["supervisor"], status["rows"][0]["state"]) == ("gone", "running")
    assert status["state"] == fsm.SWEEP_RUNNING, "its runner lives"
    resumed = pod.resume()
    assert (resumed["attached"], resumed["to_run"]) == (False, ["a", "b"])
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 2
    assert (pod.outputs / "begun").read_text().split() == ["a", "b"]
    numbers = [int(n) for n in re.findall(r"line (\d+)", pod.log("a"))]
    assert numbers == list(range(len(numbers)))
    assert f"last {numbers[-1]}" in pod.log("a")
    assert pod.rows()["a"]["attempts"] == 1


def test_a_supervisor_that_breaks_leaves_the_pod_running_while_its_runs_go_on(
    pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"))
    until((pod.outputs / "begun").exists, "row a begins")
    assert pod.kill_supervisor()

    def breaks(self: Supervisor) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Supervisor, "run_rows", breaks)
    broken = Supervisor(frozen_campaign.find(pod.settings), {})
    # it does not begin before the lock of the killed one is free
    until(lambda: broken.run() == 0 and pod.status()["supervisor"] == "ended", "it breaks")
    assert pod.status()["state"] == fsm.SWEEP_RUNNING
    (pod.outputs / "go").touch()
    until(lambda: pod.status()["state"] == fsm.SWEEP_COMPLETED, "row a ends")


@pytest.mark.fault("P6")
def test_rows_begin_once_however_often_their_supervisor_is_killed(pod: Any) -> None:
    pod.trainer(
        "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
        "time.sleep(0.05)\n"
    )
    names = [f"r{i}" for i in range(8)]
    pod.start(*[make_row(name) for name in names])
    chance = random.Random(7)
    for _ in range(8):
        time.sleep(chance.random() * 0.3)  # a random moment of its work, not a wait for it
        if not pod.kill_supervisor():
            break
        pod.resume()
    assert pod.ended()["ok"] == len(names)
    assert sorted((pod.outputs / "begun").read_text().split()) == names


def test_a_row_that_ends_while_no_supervisor_lives_counts(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"), make_row("b"))
    until(lambda: "line 3" in (pod.wait_for_file("a/stdout.log")).read_text(), "row a talks")
    pod.kill_supervisor()
    (pod.outputs / "go").touch()
    until(lambda: pod.rows()["a"]["ok"], "row a ends well")
    status = pod.status()
    assert status["state"] == fsm.SWEEP_STALLED
    assert pod.client.request("state")["state"] == fsm.SWEEP_STALLED
    assert pod.resume()["to_run"] == ["b"]
    assert pod.ended()["ok"] == 2
    assert (pod.outputs / "begun").read_text().split() == ["a", "b"]


@pytest.mark.fault("P6")
def test_killed_runner_loses_its_trainer_too_and_the_row_ends_as_killed(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"))
    until(lambda: "line 3" in (pod.wait_for_file("a/stdout.log")).read_text(), "row a talks")
    os.kill(read_json(str(pod.outputs / "a/attempts/1/pid.json"))["pid"], signal.SIGKILL)
    row = pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"]) == ("failed", "killed")
    assert not pod.cookie_holders("a")


@pytest.mark.fault("P6")
def test_both_killed_is_lost_until_resumed(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"))
    until(lambda: "line 3" in (pod.wait_for_file("a/stdout.log")).read_text(), "row a talks")
    runner = read_json(str(pod.outputs / "a/attempts/1/pid.json"))
    pod.kill_supervisor()
    os.kill(runner["pid"], signal.SIGKILL)
    until(lambda: not process.is_alive(runner), "the runner is gone")
    status = pod.status()
    assert (status["rows"][0]["state"], status["state"]) == ("lost", fsm.SWEEP_STALLED)
    assert status["rows"][0]["ok"] is None
    assert (status["ok"], status["failed"], status["in_progress"]) == (0, 0, 1)
    (pod.outputs / "go").touch()
    assert pod.resume()["to_run"] == ["a"]
    assert pod.ended()["rows"][0]["attempts"] == 2
    assert not pod.cookie_holders("a", 1)


def test_a_runner_that_was_never_acknowledged_does_not_begin(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    campaign = frozen_campaign.find(pod.settings)
    here = RowDir(campaign, campaign.rows[0])
    folder = here.attempt(2)
    os.makedirs(folder)
    attempt = Attempt(folder, parse_json(spec_of(here, 2, Share([], {}), {}, "mine").strip()))
    gone = 1  # not the parent of this process: as if the one that spawned it had died
    assert attempt.begin(gone) == 3
    write_json(here.attempt(2, "pid.json"), {"token": "another"})
    assert attempt.begin(gone) == 3, "another runner was recorded"
    assert not os.path.exists(here.attempt(2, "command.sh"))


def test_a_controller_that_goes_away_takes_nothing_with_it(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"), make_row("b"))
    before = pod.client.hello["pid"]
    until((pod.outputs / "begun").exists, "row a begins")
    token = pod.client.token
    pod.client.close()
    until(lambda: not os.path.exists(f"/proc/{before}"), "the agent has gone with its channel")
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 2
    assert pod.client.token == token


@pytest.mark.fault("D1")
def test_a_row_that_fills_the_disk_ends_as_such(small_disk: Path, pod_with: Any) -> None:
    pod = pod_with(
        OPS_REMOTE_OUTPUTS_DIR=f"{small_disk}/outputs",
        WF_STATE_FILE=f"{small_disk}/outputs/_control/workflow_state.json",
    )
    pod.trainer(
        "print('filling', flush=True)\n"
        "with open(out / 'big', 'wb') as f:\n    while True: f.write(b'x' * 65536)\n"
    )
    pod.start(make_row("a"))
    row = pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"]) == ("failed", "disk_full")
    assert "No space left" in row["reason"]
    assert "inodes" not in row["reason"]
    (pod.outputs / "a" / "out" / "big").unlink()


@pytest.mark.fault("D2")
def test_a_row_that_uses_up_all_inodes_ends_as_one_that_fills_the_disk(
    few_inodes: Path, pod_with: Any
) -> None:
    pod = pod_with(
        OPS_REMOTE_OUTPUTS_DIR=f"{few_inodes}/outputs",
        WF_STATE_FILE=f"{few_inodes}/outputs/_control/workflow_state.json",
    )
    pod.trainer("for i in range(1000): (out / str(i)).touch()\n")
    pod.start(make_row("a"))
    status = pod.ended()
    row = status["rows"][0]
    assert (row["state"], row["failure_class"]) == ("failed", "disk_full")
    assert (status["supervisor"], status["state"]) == ("ended", fsm.SWEEP_COMPLETED)
    lacking = f"no inodes left on the disk of {pod.outputs}/a/attempts/1"
    assert row["reason"].startswith(lacking)
    assert "No space left" in row["reason"]
    assert [note["code"] for note in row["notes"]] == ["no-inodes"]


def test_there_is_one_supervisor_a_campaign(pod: Any) -> None:
    pod.trainer(COUNTING)
    pod.start(make_row("a"))
    until((pod.outputs / "begun").exists, "row a begins")
    assert Supervisor(frozen_campaign.find(pod.settings), {}).run() == 0
    (pod.outputs / "go").touch()
    assert pod.ended()["rows"][0]["attempts"] == 1
    assert (pod.outputs / "begun").read_text().split() == ["a"]


def test_retries_stop_at_their_number_with_the_class_of_the_last(pod_with: Any) -> None:
    pod = pod_with(RUN_RETRIES="2")
    pod.trainer("sys.exit('NCCL error in: attempt')\n")
    pod.start(make_row("z", retries=0))
    pod.ended()
    campaign = frozen_campaign.find(pod.settings)
    row = campaign.rows[0]._replace(run_id="a", retries=None)
    assert Supervisor(campaign._replace(rows=[row]), {}, backoff_s=(0.01,)).run_rows() is None
    summary = pod.summary("a")
    assert (summary["attempts"], summary["failure_class"]) == (3, "nccl")


def test_a_supervisor_that_is_interrupted_leaves_no_traceback_in_its_log(pod: Any) -> None:
    pod.trainer("while not (outputs / 'go').exists(): time.sleep(0.01)\n")
    pod.start(make_row("a"))
    pod.wait_for_file("a/attempts/1/pid.json")
    known = pod.supervisor()
    os.kill(known["pid"], signal.SIGINT)
    until(lambda: not process.is_alive(known), "the supervisor is gone")
    (pod.outputs / "go").touch()
    pod.resume()
    assert pod.ended()["rows"][0]["state"] == "success"
    log = Path(frozen_campaign.find(pod.settings).log_path)
    assert "Traceback" not in log.read_text()


def _no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.fault("D1")
def test_a_supervisor_that_can_write_nothing_says_so_without_a_traceback(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = freeze_campaign(settings, [])
    monkeypatch.setattr("pytest_wf.agent.sweep.supervisor_record.write_json", _no_space)
    assert Supervisor(campaign, {}).run() == 1
    assert "cannot begin: [Errno 28]" in Path(campaign.log_path).read_text()


def test_a_sweep_that_ended_leaves_no_window_where_its_supervisor_is_not_reaped(
    settings: Any,
) -> None:
    freeze_campaign(settings, [])
    # this process stays, as a zombie does
    assert Supervisor(frozen_campaign.find(settings), {}).run() == 0
    sessions = ["tmux", "-L", ids.tmux_socket(settings.outputs), "list-sessions"]
    assert subprocess.run(sessions, capture_output=True).returncode != 0


@pytest.mark.fault("D1")
def test_a_runner_that_cannot_write_its_end_ends_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own

    class Unlucky(Runner):
        run = give_up = _no_space

    runner = Unlucky(str(tmp_path), "cookie", {}, grace_s=0, linger_s=0)
    assert runner.main(dict, {}, 0) == 1


@pytest.mark.fault("T4")
def test_rows_outlive_the_lease_of_who_started_them_and_another_finds_all(
    pod: Any, connect: Callable[..., AgentClient]
) -> None:
    pod.trainer(COUNTING)
    pod.client.request("lease-drop")
    args = {"owner": OWNER, "ttl_s": 0.2}
    pod.client.token = pod.client.request("lease-take", args)["token"]
    pod.start(make_row("a"))
    until((pod.outputs / "begun").exists, "row a begins")
    until(lambda: not pod.client.request("state")["lease"]["alive"], "the lease expires")
    other = connect(dict(pod.settings))
    taken = other.request("lease-take", {"owner": {**OWNER, "host": "another"}})
    assert taken["taken_from"]["owner"]["host"] == OWNER["host"]
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 1, "the row goes on, and its result is there"
    with pytest.raises(OperationFailed, check=lambda e: e.kind == "lease-lost"):
        pod.resume()
    pod.client.token = taken["token"]
