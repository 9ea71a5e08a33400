"""What a campaign's start, resume and stop allow, refuse and leave behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.agent.control import frozen_campaign, locks
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.sweep import existing_runs, operations
from pytest_wf.agent.sweep.existing_runs import Wish
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.files import sha256_file
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.rows import Row
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRow = Callable[..., dict[str, Any]]

UNTIL_TOLD = "print('at work', flush=True)\nwhile not (out / 'go').exists(): time.sleep(0.05)\n"


def refusal(kind: str) -> Any:
    """Expects an operation to be refused with `kind`."""
    return pytest.raises(OperationFailed, check=lambda e: e.kind == kind)


def test_start_freezes_manifest_config_and_campaign(pod: Any) -> None:
    answer = pod.start(make_row("a", "x=1", notes="first"))
    manifests = pod.outputs / "_manifests"
    stamp = answer["created_at"].replace("-", "").replace(":", "")
    assert sha256_file(str(manifests / f"sweep-{stamp}.csv")) == answer["manifest_sha256"]
    assert sha256_file(str(manifests / "sweep-latest.csv")) == answer["manifest_sha256"]
    assert b"TRAIN_LAUNCHER='python'" in (manifests / f"workflow-{stamp}.env").read_bytes()
    campaign = frozen_campaign.find(pod.settings)
    assert campaign.campaign_id == answer["campaign_id"]
    assert campaign.rows[0].argv == ("x=1",)
    assert pod.client.request("manifest")["rows"][0]["notes"] == "first"
    pod.ended()


@pytest.mark.parametrize("override", ["seed=99", "--out-dir=/elsewhere", "wandb_log=True"])
def test_overrides_that_name_what_the_harness_gives_are_refused(pod: Any, override: str) -> None:
    with refusal("manifest") as refused:
        pod.start(make_row("a", "x=1"), make_row("b", override))
    assert f"row b: {override}" in str(refused.value)
    assert not (pod.outputs / "a").exists()


def test_a_pattern_that_the_pods_python_cannot_read_is_refused(pod_with: Any) -> None:
    pod = pod_with(METRICS_LOG_PATTERN="loss (?P<loss")
    with refusal("launch") as refused:
        pod.start(make_row("a"))
    assert "cannot read METRICS_LOG_PATTERN" in str(refused.value)


def test_start_is_refused_while_a_campaign_runs(pod: Any) -> None:
    pod.trainer(UNTIL_TOLD)
    first = pod.start(make_row("a"))
    with refusal("sweep-running") as refused:
        pod.start(make_row("b"))
    assert refused.value.facts["campaign_id"] == first["campaign_id"]
    assert refused.value.facts["age_s"] >= 0
    pod.wait_for_file("a/stdout.log")
    (pod.outputs / "a" / "out" / "go").touch()
    assert pod.ended()["campaign_id"] == first["campaign_id"]


def test_a_good_run_of_the_same_row_is_adopted_untouched(pod: Any) -> None:
    first = pod.start(make_row("a", "x=1"))["campaign_id"]
    pod.ended()
    before = sha256_file(str(pod.outputs / "a" / "summary.json"))
    second = pod.start(make_row("a", "x=1"), make_row("b"))
    assert second["adopted"] == {"a": first}
    assert second["to_run"] == ["b"]
    rows = {r["run_id"]: r for r in pod.ended()["rows"]}
    assert (rows["a"]["state"], rows["a"]["adopted_from"]) == ("success", first)
    assert rows["b"]["adopted_from"] is None
    assert sha256_file(str(pod.outputs / "a" / "summary.json")) == before
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED


@pytest.mark.parametrize(
    "row",
    [{"overrides": "x=2", "argv": ["x=2"]}, {"seed": 2}, {"config": "config/b.py"}],
)
def test_an_edited_row_is_trained_again_and_its_earlier_run_is_archived(
    pod: Any, row: dict[str, Any]
) -> None:
    (pod.repo / "train" / "config" / "b.py").write_text("")
    first = pod.start(make_row("a", "x=1"), make_row("b"))["campaign_id"]
    pod.ended()
    second = pod.start({**make_row("a", "x=1"), **row}, make_row("b"), make_row("c"))
    assert (second["adopted"], second["to_run"]) == ({"b": first}, ["a", "c"])
    assert second["plan"] == {"adopted": 1, "again": 1, "new": 1}
    assert second["archive"]["runs"] == 1
    assert (pod.outputs / "_archive" / first / "a" / "summary.json").is_file()
    assert pod.ended()["ok"] == 3
    assert pod.rows()["a"]["attempts"] == 1


def test_a_good_run_of_another_commit_stops_the_start_and_is_left_alone(pod: Any) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    with refusal("run-differs") as refused:
        pod.start(make_row("a"), make_row("b"), git_sha="b" * 40)
    told = str(refused.value)
    assert "a (commit aaaaaaaaaaaa, now bbbbbbbbbbbb)" in told
    assert 'SWEEP_RETRAIN="a" in the config' in told and "SWEEP_FORCE=1" in told
    assert "To keep them, give the rows other ids." in told
    assert refused.value.facts["campaigns"] == [first]
    assert refused.value.facts["seconds"] > 0
    assert (pod.outputs / "a" / "summary.json").exists()
    assert not (pod.outputs / "b").exists()


@pytest.mark.parametrize(
    ("adopt", "as_commit", "told"),
    [
        ("same-code", "b" * 40, ""),
        ("same-code", "c" * 40, "commit aaaaaaaaaaaa, now bbbbbbbbbbbb"),
        ("same-commit", "b" * 40, "commit aaaaaaaaaaaa, now bbbbbbbbbbbb"),
        ("never", "b" * 40, "SWEEP_ADOPT is never"),
    ],
)
def test_sweep_adopt_says_which_good_runs_count(
    pod: Any, adopt: str, as_commit: str, told: str
) -> None:
    pod.run_to_end(make_row("a"))
    rows = [Row.from_json(make_row("a"))]
    known = {"adopt": adopt, "same_code": ["a" * 40], "same_code_as": as_commit}
    wish = Wish.of(known, "b" * 40)
    if not told:
        assert existing_runs.plan(pod.settings, rows, wish).counts["adopted"] == 1
        return
    with pytest.raises(Refusal, match=told) as refused:
        existing_runs.plan(pod.settings, rows, wish)
    assert refused.value.kind == "run-differs"


def test_a_good_run_of_another_recipe_names_the_part_with_both_values(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    settings = Settings({**pod.settings, "DATA_DIR": "/data/new"})
    with pytest.raises(Refusal, match=re.escape("a (DATA_DIR empty, now '/data/new')")) as refused:
        existing_runs.plan(settings, [Row.from_json(make_row("a"))], Wish("a" * 40))
    assert refused.value.kind == "run-differs"
    recorded = pod.summary("a")
    assert recorded["recipe"]["DATA_DIR"] == ""
    assert (recorded["project"], len(recorded["recipe_sha256"])) == ("toy", 64)


def test_a_resume_is_named_only_where_the_latest_campaign_has_these_very_rows(pod: Any) -> None:
    campaign = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    with refusal("run-differs") as refused:
        pod.start(make_row("a"), git_sha="b" * 40)
    assert f"--wf-sweep=resume --wf-campaign={campaign}" in str(refused.value)
    with refusal("run-differs") as refused:
        pod.start(make_row("a"), make_row("b"), git_sha="b" * 40)
    assert "resume" not in str(refused.value)


def test_rows_that_are_named_are_trained_again_at_another_commit(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    second = pod.start(make_row("a"), git_sha="b" * 40, retrain=["a"])
    assert (second["adopted"], second["to_run"]) == ({}, ["a"])
    assert pod.ended()["ok"] == 1


def test_force_moves_all_runs_to_the_archive_and_adopts_nothing(pod: Any) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    (pod.outputs / "b").mkdir()
    second = pod.start(make_row("a"), make_row("b"), force=True)
    assert second["adopted"] == {}
    assert (pod.outputs / "_archive" / first / "a" / "summary.json").is_file()
    assert pod.ended()["ok"] == 2


def test_an_adopted_run_keeps_its_first_campaign(pod: Any) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    for _ in range(2):
        pod.ended()
        assert pod.start(make_row("a"), make_row("b"))["adopted"]["a"] == first
    pod.ended()


def test_an_archive_that_was_cut_off_in_the_middle_is_led_on_by_the_next_start(
    pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.trainer("sys.exit(1 if os.environ['SEED'] == '1' else 0)\n")
    first = pod.start(make_row("a"), make_row("b"), make_row("good", seed=2))["campaign_id"]
    pod.ended()
    rows = [Row.from_json(make_row(name)) for name in ("a", "b")]
    planned = existing_runs.plan(pod.settings, rows, Wish("a" * 40))
    existing_runs.carry_out(pod.settings, planned._replace(away=planned.away[:1]))
    pod.trainer("pass\n")
    second = pod.start(make_row("a"), make_row("b"), make_row("good", seed=2))
    assert second["plan"] == {"adopted": 1, "again": 1, "new": 1}
    assert sorted(os.listdir(pod.outputs / "_archive" / first)) == ["a", "b"]
    assert pod.ended()["ok"] == 3


def test_a_damaged_summary_of_a_run_costs_a_training_and_no_result(pod: Any) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    (pod.outputs / "a" / "summary.json").write_text("{")
    # where the attempt's own result is whole, the summary is made from it
    (pod.outputs / "a" / "attempts" / "1" / "result.json").write_text("{")
    assert pod.start(make_row("a"))["plan"]["again"] == 1
    assert (pod.outputs / "_archive" / first / "a" / "summary.json").read_text() == "{"
    pod.ended()


def test_a_damaged_record_of_who_made_a_run_costs_nothing_where_its_campaign_is_known(
    pod: Any,
) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    (pod.outputs / "a" / "made.json").write_text("{")
    assert pod.start(make_row("a"))["adopted"] == {"a": first}
    assert json.loads((pod.outputs / "a" / "made.json").read_text())["what"] == f"run a of {first}"
    pod.ended()
    (pod.outputs / "a" / "made.json").write_text("{")
    for name in ("summary.json", "status.json"):
        (pod.outputs / "a" / name).write_text("{}")
    with refusal("run-exists") as refused:
        pod.start(make_row("a"), force=True)
    assert "give these rows other ids" in str(refused.value)


def test_a_run_whose_processes_are_alive_is_never_moved(pod: Any) -> None:
    pod.trainer("print('at work', flush=True)\ntime.sleep(600)\n")
    campaign = pod.start(make_row("a"))["campaign_id"]
    pod.wait_for_file("a/attempts/1/stdout.log")
    rows = [Row.from_json(make_row("a"))]
    until(lambda: pod.cookie_holders("a"), "row a works")
    with pytest.raises(Refusal, match="of run a are alive") as told:
        existing_runs.plan(pod.settings, rows, Wish("a" * 40, force=True))
    assert told.value.facts["campaign_id"] == campaign
    pod.client.request("campaign-stop")
    assert existing_runs.plan(pod.settings, rows, Wish("a" * 40)).counts["again"] == 1


def test_pruning_removes_the_named_runs_of_the_archive_alone(pod: Any) -> None:
    first = pod.start(make_row("a"), make_row("b"))["campaign_id"]
    pod.ended()
    pod.start(make_row("a"), make_row("b"), force=True)
    pod.ended()
    archive = pod.outputs / "_archive" / first
    stray = archive / "notes"
    stray.mkdir()
    (stray / "mine.txt").write_text("mine")
    wanted = [f"_archive/{first}/a", f"_archive/{first}/notes", "b", "../repo"]
    assert pod.client.request("prune", {"archived": wanted})["archived"] == wanted[:1]
    assert sorted(os.listdir(archive)) == ["b", "notes"]
    assert (pod.outputs / "b").is_dir() and pod.repo.is_dir()


def test_a_pruning_that_was_cut_off_is_finished_by_the_next(pod: Any) -> None:
    left = pod.outputs / "_archive" / "c-1" / ".dropped.a"
    left.mkdir(parents=True)
    (left / "log").write_text("")
    assert pod.client.request("prune", {"archived": []}) == {"archived": [], "trees": []}
    assert not left.parent.exists()


def test_a_removed_row_keeps_its_run_directory_and_is_not_counted(pod: Any) -> None:
    pod.run_to_end(make_row("a"), make_row("b"))
    pod.start(make_row("a"))
    status = pod.ended()
    assert (status["total"], status["ok"]) == (1, 1)
    assert (pod.outputs / "b" / "summary.json").exists()


def test_a_running_sweep_of_another_project_is_neither_stopped_nor_offered(pod: Any) -> None:
    gate = pod.outputs.parent / "gate"
    pod.trainer(f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n")
    pod.start(make_row("a"))
    other = Session(Settings({**pod.settings, "WF_PROJECT": "moe"}), "r-9", None, print)
    with pytest.raises(Refusal, match="is of project toy, and this one is moe"):
        operations.stop(other)
    with pytest.raises(Refusal, match="is running") as refusal:
        operations.start(other, {"flow_id": "f-2", "secrets": {}})
    assert refusal.value.remedy.startswith("It is of project toy: wait for its end")
    gate.touch()
    assert pod.ended()["ok"] == 1


def test_a_campaign_of_another_project_is_neither_resumed_nor_trained_over(pod: Any) -> None:
    campaign_id = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    other = Session(Settings({**pod.settings, "WF_PROJECT": "moe"}), "r-9", None, print)
    with pytest.raises(Refusal, match=f"{campaign_id}, is of project toy, and this one is moe"):
        operations.resume(other, {"flow_id": "f-2", "secrets": {}})
    with pytest.raises(Refusal, match="is a run of project toy, and this project is moe") as told:
        existing_runs.plan(other.settings, [Row.from_json(make_row("a"))], Wish("", force=True))
    assert "WF_PROJECT" in told.value.remedy


@pytest.mark.parametrize("force", [False, True])
def test_what_no_run_made_is_never_moved(pod: Any, force: bool) -> None:
    (pod.outputs / "b").mkdir()
    (pod.outputs / "b" / "thesis.tex").write_text("years of work")
    (pod.outputs / "c").symlink_to("b")
    with refusal("run-exists") as refused:
        pod.start(make_row("a"), make_row("b"), make_row("c"), force=force)
    assert refused.value.facts["paths"] == [f"{pod.outputs}/b", f"{pod.outputs}/c"]
    assert "b exists, and pytest-wf did not make it" in str(refused.value)
    assert "give these rows other ids" in str(refused.value)
    assert os.listdir(pod.outputs / "b") == ["thesis.tex"]
    assert not (pod.outputs / "a").exists()


def test_a_run_directory_says_what_made_it_and_the_record_stays_on_the_pod(pod: Any) -> None:
    campaign_id = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    made = json.loads((pod.outputs / "a" / "made.json").read_text())
    assert (made["made_by"], made["what"]) == ("pytest-wf", f"run a of {campaign_id}")
    listed = pod.client.request("listing", {"run_ids": ["a"], "checkpoints": True})
    assert "made.json" not in str(listed)


def test_a_failed_run_is_run_again_by_resume(pod: Any) -> None:
    pod.trainer("sys.exit(0 if (outputs / 'mended').exists() else 1)\n")
    rows = pod.run_to_end(make_row("a"))
    assert rows["a"]["state"] == "failed"
    (pod.outputs / "mended").touch()
    resumed = pod.resume()
    assert (resumed["to_run"], resumed["attached"]) == (["a"], False)
    status = pod.ended()
    assert (status["ok"], status["failed"]) == (1, 0)
    assert status["rows"][0]["attempts"] == 2
    assert json.loads((pod.outputs / "a/attempts/1/summary.json").read_text())["ok"] is False


@pytest.mark.fault("F8")
def test_resume_with_nothing_to_run_completes(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    pod.client.request("fsm-reset", {"state": fsm.CHECKED_OUT, "reason": "checked out again"})
    for _ in range(3):
        resumed = pod.resume()
        assert resumed["to_run"] == []
    status = pod.status()
    assert status["state"] == fsm.SWEEP_COMPLETED
    assert status["rows"][0]["attempts"] == 1


def test_resume_attaches_to_a_living_supervisor(pod: Any) -> None:
    pod.trainer(UNTIL_TOLD)
    started = pod.start(make_row("a"))
    before = pod.supervisor()["pid"]
    resumed = pod.resume()
    assert (resumed["attached"], resumed["campaign_id"]) == (True, started["campaign_id"])
    assert pod.supervisor()["pid"] == before
    pod.wait_for_file("a/stdout.log")
    (pod.outputs / "a" / "out" / "go").touch()
    assert pod.ended()["rows"][0]["attempts"] == 1


def test_resume_and_status_without_a_campaign_say_so(pod: Any) -> None:
    with refusal("no-campaign"):
        pod.resume()
    with refusal("no-campaign"):
        pod.status()
    assert pod.client.request("campaign-stop")["stopped"] is False


def test_stop_leaves_nothing_and_resume_goes_on(pod: Any) -> None:
    pod.trainer(UNTIL_TOLD)
    pod.start(make_row("a"), make_row("b"))
    until(
        lambda: (
            "at work" in pod.log("a")
            if (pod.outputs / "a/attempts/1/stdout.log").exists()
            else False
        ),
        "row a works",
    )
    assert pod.cookie_holders("a")
    stopped = pod.client.request("campaign-stop")
    assert (stopped["stopped"], stopped["leftovers"]) == (True, [])
    assert (stopped["state"], stopped["reason"]) == (fsm.SWEEP_STALLED, "stopped by the user")
    assert pod.status()["stopped"] is True
    assert not pod.cookie_holders("a")
    rows = pod.rows()
    assert (rows["a"]["state"], rows["b"]["state"]) == ("stopped", "pending")
    (pod.outputs / "a" / "out" / "go").touch()
    assert pod.resume()["to_run"] == ["a", "b"]
    assert pod.status()["stopped"] is False
    pod.wait_for_file("b/attempts/1/stdout.log")
    (pod.outputs / "b" / "out" / "go").touch()
    assert pod.ended()["ok"] == 2


def test_a_checkout_without_the_script_is_refused(pod: Any) -> None:
    (pod.repo / "train" / "train.py").unlink()
    with refusal("launch") as refused:
        pod.start(make_row("a"))
    assert "TRAIN_ENTRYPOINT" in str(refused.value)
    assert pod.client.request("state")["state"] == fsm.CHECKED_OUT


def test_the_commit_is_asked_of_git(pod: Any) -> None:
    git = ["git", "-C", str(pod.repo), "-c", "user.name=Ada", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", str(pod.repo)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "First"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    answer = pod.start(make_row("a"), git_sha=None)
    assert answer["git_sha"] == head.stdout.strip()
    pod.ended()


def test_a_start_that_was_cut_off_before_its_answer_starts_nothing_twice(
    pod: Any, perform: Any
) -> None:
    first = pod.start(make_row("a"))
    pod.ended()
    campaign = frozen_campaign.find(pod.settings)
    from pytest_wf.agent.control.request import Session
    from pytest_wf.agent.sweep import operations

    session = Session(pod.settings, campaign.request_id, None, lambda body: None)
    again = operations.start(session, {"secrets": {}})
    assert again["campaign_id"] == first["campaign_id"]
    assert pod.status()["rows"][0]["attempts"] == 1
    assert (
        len([n for n in os.listdir(pod.settings.campaigns) if ids.is_id(n) and n[:2] == "c-"]) == 1
    )


def test_a_start_that_was_cut_off_before_the_launch_is_stalled_and_resumes(pod: Any) -> None:
    pod.start(make_row("a"))
    pod.ended()
    campaign = frozen_campaign.find(pod.settings)
    os.unlink(os.path.join(campaign.folder, "supervisor.json"))
    subprocess.run(["rm", "-rf", str(pod.outputs / "a")], check=True)
    pod.client.request("fsm-reset", {"state": fsm.SWEEP_RUNNING, "reason": "as if cut off"})
    status = pod.status()
    assert (status["state"], status["supervisor"]) == (fsm.SWEEP_STALLED, "gone")
    assert pod.resume()["to_run"] == ["a"]
    assert pod.ended()["state"] == fsm.SWEEP_COMPLETED


def test_a_resume_waits_for_a_supervisor_that_has_only_its_end_to_write(
    pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.trainer("sys.exit(1)\n")
    pod.run_to_end(make_row("a"))
    looks = iter([True, True, False])
    monkeypatch.setattr(frozen_campaign, "is_supervised", lambda found: next(looks, False))
    answer = operations.resume(
        Session(pod.settings, "r-2", None, print), {"flow_id": "f-2", "secrets": {}}
    )
    assert (answer["attached"], answer["to_run"]) == (False, ["a"])
    assert next(looks, None) is None


def test_a_supervisor_waits_for_the_lock_of_one_that_has_written_its_end(pod: Any) -> None:
    pod.trainer("sys.exit(1)\n")
    pod.run_to_end(make_row("a"))
    campaign = frozen_campaign.find(pod.settings)
    resumed = threading.Thread(target=pod.resume)
    with locks.locked(os.path.join(campaign.folder, "supervisor.lock")):
        resumed.start()
        until(lambda: not frozen_campaign.supervisor_of(campaign), "the resume has begun")
    resumed.join(60)
    pod.ended()
    assert pod.rows()["a"]["attempts"] == 2
