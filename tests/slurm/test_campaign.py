"""Campaigns whose rows are jobs of a real Slurm."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_wf.agent.run.slurm import client
from pytest_wf.flow.operations.sweep import Sweep
from pytest_wf.pods.patience import Patience
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.slurm import Slurm
from tests.support.sweep_pod import SweepPod, make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from pytest_wf.flow.session import PodSession

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

#: Says that it has begun, and goes on until it may end.
WAITING = (
    "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
    "while not (outputs / 'go').exists(): time.sleep(0.02)\n"
)


def begun(pod: SweepPod) -> list[str]:
    """The rows whose trainer has begun, once for each time."""
    path = pod.outputs / "begun"
    return sorted(path.read_text().split()) if path.exists() else []


def test_rows_are_tasks_of_arrays_and_leave_what_rows_of_a_pod_leave(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(GPUS_PER_RUN="1")
    pod.trainer(
        "print('trained on', os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n"
        "print([n for n in os.environ if n.startswith('SLURM_J')], flush=True)\n"
        "sys.exit(os.environ['RUN_ID'] == 'bad')\n"
    )
    rows = pod.run_to_end(*[make_row(name) for name in ("a", "b", "bad", "c")])
    assert [row["state"] for row in rows.values()] == ["success", "success", "failed", "success"]
    assert rows["bad"]["failure_class"] == "user"
    assert "trained on " in pod.log("c") and "[]" in pod.log("c")
    assert pod.read("a/attempts/1/pid.json")["array"] > 0
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED


def test_what_waits_says_for_what_and_a_stop_leaves_nothing_in_the_queue(
    login: Callable[..., SweepPod], cluster: Slurm
) -> None:
    pod = login(GPUS_PER_RUN="2")
    pod.trainer(WAITING)
    pod.start(*[make_row(name) for name in "abc"])
    until(lambda: begun(pod) == ["a", "b"], "both nodes are taken")
    until(lambda: "Resources" in str(pod.rows()["c"]["reason"]), "c waits")
    assert [row["state"] for row in pod.rows().values()] == ["running", "running", "pending"]
    stopped = pod.client.request("campaign-stop")
    assert (stopped["leftovers"], stopped["state"]) == ([], fsm.SWEEP_STALLED)
    assert [row["state"] for row in pod.rows().values()] == ["stopped", "stopped", "pending"]
    assert "RUNNING" not in cluster.client("squeue", "-h", "-o", "%T")
    (pod.outputs / "go").touch()
    assert pod.resume()["to_run"] == ["a", "b", "c"]
    assert pod.ended()["ok"] == 3
    assert begun(pod) == ["a", "a", "b", "b", "c"]


def test_rows_whose_jobs_are_cancelled_by_hand_stay_stopped(
    login: Callable[..., SweepPod], cluster: Slurm
) -> None:
    pod = login(WF_SLURM_ARRAY_LIMIT="2")
    pod.trainer(WAITING)
    pod.start(*[make_row(name) for name in "abcd"])
    until(lambda: begun(pod) == ["a", "b"], "two run")
    handle = pod.read("a/attempts/1/pid.json")
    cluster.client("scancel", "--state=PENDING", str(handle["array"]))
    cluster.client("scancel", f"{handle['array']}_{handle['index']}")
    until(lambda: pod.rows()["a"]["state"] == "stopped", "a is stopped")
    states = [row["state"] for row in pod.rows().values()]
    assert states == ["stopped", "running", "stopped", "stopped"]
    (pod.outputs / "go").touch()
    until(lambda: pod.rows()["b"]["state"] == "success", "b goes on")
    assert begun(pod) == ["a", "b"]
    assert "cancelled" in pod.rows()["a"]["reason"]


@pytest.mark.long
def test_a_failure_worth_a_retry_is_queued_again_by_its_own_job(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(RUN_RETRY_ON="oom")
    pod.trainer(
        "begun = out / 'begun'\nif begun.exists(): sys.exit(0)\nbegun.touch()\n"
        "sys.exit('torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB')\n"
    )
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 2)
    assert pod.read("a/attempts/1/result.json")["failure_class"] == "oom"


@pytest.mark.long
def test_a_trainer_that_ends_by_sigterm_without_the_queue_is_retried_as_any_other(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(RUN_RETRY_ON="killed preempted")
    pod.trainer(
        "begun = out / 'begun'\nif begun.exists(): sys.exit(0)\nbegun.touch()\n"
        "import signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    )
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["attempts"]) == ("success", 2)


def test_a_preempted_row_comes_back_once_and_ends(
    login: Callable[..., SweepPod], cluster: Slurm
) -> None:
    pod = login(WF_SLURM_ARGS="nodelist=n1", GPUS_PER_RUN="2")
    pod.trainer(WAITING)
    pod.start(make_row("a"))
    until(lambda: begun(pod) == ["a"], "it runs")
    high = ["-p", "high", "-w", "n1", "--gres=gpu:2", "--output=/dev/null"]
    seen = pod.outputs / "seen"
    waits = f"--wrap=until [ -e '{seen}' ]; do sleep 0.1; done"
    job = cluster.client("sbatch", "--parsable", *high, waits).strip()
    until(lambda: pod.rows()["a"]["state"] == "pending", "it is preempted")
    assert pod.status()["state"] == fsm.SWEEP_RUNNING
    seen.touch()
    until(lambda: begun(pod) == ["a", "a"], f"it comes back behind {job}")
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 1
    assert begun(pod) == ["a", "a"]
    assert pod.read("a/attempts/1/result.json")["failure_class"] == "preempted"


@pytest.mark.long
def test_a_row_of_a_node_that_goes_down_is_trained_elsewhere(
    login: Callable[..., SweepPod], cluster: Slurm
) -> None:
    pod = login(GPUS_PER_RUN="2")
    pod.trainer(WAITING)
    pod.start(make_row("a"))
    until(lambda: begun(pod) == ["a"], "it runs")
    node = pod.read("a/attempts/1/pid.json")["node"]
    cluster.client("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        until(lambda: pod.rows()["a"]["state"] == "pending", "it waits again")
        until(lambda: begun(pod) == ["a", "a"], "it has begun elsewhere")
        assert pod.read("a/attempts/2/pid.json")["node"] != node
        (pod.outputs / "go").touch()
        assert pod.ended()["ok"] == 1
    finally:
        cluster.client("scontrol", "update", f"nodename={node}", "state=resume")


def test_rows_are_unknown_while_slurm_does_not_answer_and_right_afterwards(
    login: Callable[..., SweepPod], cluster: Slurm
) -> None:
    pod = login()
    pod.trainer(WAITING)
    pod.start(make_row("a"))
    until(lambda: begun(pod) == ["a"], "it runs")
    # one that is killed by SIGKILL has forgotten the last seconds
    cluster.kill("slurmctld", signal.SIGTERM)
    try:
        until(lambda: pod.rows()["a"]["state"] == "unknown", "nothing is known")
        assert pod.status()["state"] == fsm.SWEEP_RUNNING
        (pod.outputs / "go").touch()
        until(lambda: pod.rows()["a"]["state"] == "success", "its result is on the disk")
    finally:
        cluster.start_controller()
    assert pod.ended()["ok"] == 1


def test_a_setup_command_that_fails_ends_the_row_and_says_so(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(WF_SLURM_SETUP_CMD="module load nothing-like-this")
    pod.trainer("")
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "failed"
    assert "WF_SLURM_SETUP_CMD" in row["reason"]


def test_a_secret_reaches_the_trainer_and_nothing_that_is_kept(
    login: Callable[..., SweepPod], cluster: Slurm, tmp_path: Path
) -> None:
    value = "sk-9f2c7a1be0d44a5c"
    secrets = tmp_path / "secrets"
    secrets.touch(0o600)
    secrets.write_text(f"API_KEY={value}\n")
    pod = login(WF_SECRET_ENV="API_KEY", WF_SLURM_SECRET_FILE=str(secrets))
    pod.trainer("print('got', len(os.environ['API_KEY']), os.environ['API_KEY'], flush=True)\n")
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success"
    assert f"got {len(value)} " in pod.log("a")
    cluster.client("scontrol", "reconfigure")  # writes its state
    kept = [*cluster.folder.rglob("*"), *pod.outputs.rglob("*")]
    assert [path for path in kept if path.is_file() and value.encode() in path.read_bytes()] == []


def test_a_secret_file_that_others_can_read_is_refused(
    login: Callable[..., SweepPod], tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_text("API_KEY=x\n")
    secrets.chmod(0o644)
    pod = login(WF_SECRET_ENV="API_KEY", WF_SLURM_SECRET_FILE=str(secrets))
    with pytest.raises(Refusal, match="its owner"):
        pod.start(make_row("a"))


def test_a_start_that_was_cut_off_is_completed_and_no_array_is_submitted_twice(
    login: Callable[..., SweepPod], cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = login()
    pod.trainer(WAITING)
    submit = client.submit

    def lose_the_answer(options: Sequence[str], script: str) -> int:
        submit(options, script)
        raise client.Silent("the link is gone")

    monkeypatch.setattr(client, "submit", lose_the_answer)
    with pytest.raises(Refusal, match="the link is gone"):
        pod.start(make_row("a"), make_row("b"))
    monkeypatch.setattr(client, "submit", submit)
    pod.resume()
    until(lambda: begun(pod) == ["a", "b"], "both run, once each")
    campaign = pod.status()["campaign_id"]
    arrays = cluster.client("squeue", "-h", "-o", "%F", f"--name=wf-{campaign}.1").split()
    assert len(set(arrays)) == 1
    (pod.outputs / "go").touch()
    assert pod.ended()["ok"] == 2


@pytest.mark.long
def test_no_further_row_begins_behind_a_failed_one_where_the_config_says_so(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(SWEEP_FAIL_FAST="1", WF_SLURM_ARRAY_LIMIT="1")
    pod.trainer("sys.exit(3)\n")
    rows = pod.run_to_end(*[make_row(name) for name in "abc"])
    assert [row["state"] for row in rows.values()] == ["failed", "pending", "pending"]
    assert "SWEEP_FAIL_FAST" in pod.status()["reason"]
    assert pod.status()["state"] == fsm.SWEEP_STALLED


@pytest.mark.long
def test_a_row_that_takes_longer_than_its_job_may_is_timed_out(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(WF_SLURM_TIME="1")
    pod.trainer("time.sleep(600)\n")
    pod.start(make_row("a"))
    ended = until(lambda: pod.status()["supervisor"] != "alive", "it ends", 180)
    assert ended
    assert pod.rows()["a"]["state"] == "timed_out"
    assert pod.rows()["a"]["attempts"] == 1


@pytest.mark.long
@pytest.mark.parametrize("count", [1001, 10_000])
def test_many_rows_are_arrays_of_at_most_a_thousand(
    login: Callable[..., SweepPod], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    pod = login(WF_SLURM_ARRAY_LIMIT="1")
    pod.trainer("time.sleep(600)\n")
    asked = counted(monkeypatch, client, "submit")
    pod.start(*[make_row(f"r{number}") for number in range(count)])
    assert len(asked) == -(-count // 1000)
    squeues = counted(monkeypatch, client, "tasks")
    requests = counted(monkeypatch, pod.client, "request")
    session = SimpleNamespace(
        config=SimpleNamespace(wf_expect=""),
        project=SimpleNamespace(baseline=None, rows=[]),
        patience=Patience(60),
        request=pod.client.request,
    )
    status = Sweep(cast("PodSession", session)).status()
    assert status is not None
    assert (len(requests), len(squeues), len(status.rows)) == (1, 1, count)
    assert {row.state for row in status.rows} <= {"pending", "running"}
    assert pod.client.request("campaign-stop")["leftovers"] == []
    assert {row["state"] for row in pod.rows().values()} <= {"pending", "stopped"}


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The calls of `owner.name` from now on."""
    calls: list[Any] = []
    real = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls
