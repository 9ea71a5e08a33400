"""Damaged records of a campaign: named, worked around where that is safe, never in the way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent import process
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm
from tests.support import damage
from tests.support.sweep_pod import make_row

AT_WORK = "(outputs / 'at-work').touch()\nwhile not (outputs / 'go').exists(): time.sleep(0.05)\n"


def refusal(kind: str) -> Any:
    """Expects an operation to be refused with `kind`."""
    return pytest.raises(OperationFailed, check=lambda e: e.kind == kind)


def files_of_latest(pod: Any, name: str) -> list[Path]:
    """A control file of the latest campaign, and its copy."""
    path = Path(pod.settings.campaigns, pod.status()["campaign_id"], name)
    return [path, path.with_name(name + ".copy")]


def running(pod: Any) -> str:
    """A campaign that is at work; its id."""
    pod.trainer(AT_WORK)
    campaign_id: str = pod.start(make_row("a"))["campaign_id"]
    pod.wait_for_file("at-work")
    return campaign_id


@pytest.mark.fault("S4")
def test_a_campaign_is_read_from_its_copy_and_the_damage_is_said(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    damage.truncate(files_of_latest(pod, "campaign.json")[0])

    assert pod.rows()["a"]["state"] == "success"
    assert "its copy was read instead" in pod.client.findings[0]
    assert pod.client.request("manifest")["rows"][0]["run_id"] == "a"
    assert pod.resume()["to_run"] == []


@pytest.mark.fault("S4")
def test_a_campaign_that_cannot_be_read_stops_neither_a_start_nor_what_it_left(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    before = files_of_latest(pod, "campaign.json")
    for path in before:
        damage.garbage(path)

    with refusal("state-unreadable") as refused:
        pod.status()
    assert str(before[0]) in refused.value.message
    assert "--from-directory" in refused.value.remedy
    assert "--wf-sweep=start" in refused.value.remedy

    rows = pod.run_to_end(make_row("a"), make_row("b"))
    assert rows["a"]["adopted_from"]
    assert rows["b"]["state"] == "success"
    assert all(path.exists() for path in before)


@pytest.mark.fault("S4")
def test_a_campaign_that_cannot_be_read_and_runs_is_not_joined_by_another(pod: Any) -> None:
    campaign_id = running(pod)
    for path in files_of_latest(pod, "campaign.json"):
        damage.empty(path)

    with refusal("sweep-running") as refused:
        pod.start(make_row("b"))
    assert campaign_id in refused.value.message

    stopped = pod.client.request("campaign-stop", timeout_s=100)
    assert (stopped["stopped"], stopped["leftovers"]) == (True, [])
    assert not process.holders(f"{campaign_id}.a.1")
    pod.trainer("")
    assert pod.run_to_end(make_row("b"))["b"]["state"] == "success"


@pytest.mark.fault("S4")
def test_the_newest_campaign_that_is_there_stands_in_for_one_that_is_gone(pod: Any) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    second = pod.start(make_row("b"))["campaign_id"]
    pod.ended()
    shutil.rmtree(Path(pod.settings.campaigns, second))

    assert pod.status()["campaign_id"] == first
    assert f"{second} is gone; the newest that is there is {first}" in pod.client.findings[0]
    assert pod.run_to_end(make_row("c"))["c"]["state"] == "success"


@pytest.mark.fault("S6")
def test_a_pod_that_was_put_back_refuses_the_campaign_that_its_controller_knows(
    pod: Any, tmp_path: Path
) -> None:
    first = pod.start(make_row("a"))["campaign_id"]
    pod.ended()
    shutil.copytree(pod.outputs, tmp_path / "earlier", symlinks=True)
    second = pod.start(make_row("b"))["campaign_id"]
    pod.ended()
    shutil.rmtree(pod.outputs)
    shutil.copytree(tmp_path / "earlier", pod.outputs, symlinks=True)

    with refusal("campaign-changed") as refused:
        pod.status(campaign_id=second)
    assert f"no campaign {second}; its latest is {first}" in refused.value.message
    assert pod.resume()["campaign_id"] == first


@pytest.mark.fault("S1")
@pytest.mark.parametrize("kind", ["missing", "empty", "directory"])
def test_a_supervisor_whose_record_is_damaged_is_seen_by_its_lock(pod: Any, kind: str) -> None:
    running(pod)
    damage.KINDS[kind](files_of_latest(pod, "supervisor.json")[0])

    assert pod.status()["supervisor"] == "alive"
    with refusal("sweep-running"):
        pod.start(make_row("b"))
    (pod.outputs / "go").touch()


@pytest.mark.fault("S1")
def test_a_runner_whose_handle_is_damaged_is_seen_by_its_processes(pod: Any) -> None:
    running(pod)
    pod.kill_supervisor()
    damage.garbage(pod.outputs / "a" / "attempts" / "1" / "pid.json")

    assert pod.rows()["a"]["state"] == "running"
    with refusal("sweep-running"):
        pod.start(make_row("b"))
    (pod.outputs / "go").touch()


@pytest.mark.fault("S5")
def test_a_campaign_of_an_earlier_version_does_not_stop_a_start(pod: Any) -> None:
    old = Path(pod.settings.campaigns, "c-20250101T000000Z-abcdef")
    old.mkdir(parents=True)
    (old / "campaign.json").write_text('{"schema": 0}')
    (old.parent / "latest.json").write_text(f'{{"schema": 1, "campaign_id": "{old.name}"}}')

    with refusal("state-unreadable"):
        pod.status()
    assert pod.run_to_end(make_row("a"))["a"]["state"] == "success"
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED


@pytest.mark.fault("S1")
def test_a_manifest_that_was_changed_is_read_from_the_copy_of_the_latest(pod: Any) -> None:
    manifest = Path(pod.start(make_row("a"))["manifest_path"])
    pod.ended()
    manifest.write_text("run_id\nother\n")

    assert pod.client.request("manifest")["rows"][0]["run_id"] == "a"
    assert f"{manifest} on the pod is damaged" in pod.client.findings[0]

    (manifest.parent / "sweep-latest.csv").unlink()
    with refusal("state-unreadable") as refused:
        pod.client.request("manifest")
    assert "--wf-sweep=start" in refused.value.remedy


@pytest.mark.fault("S1")
@pytest.mark.parametrize("kind", ["empty", "nul", "garbage"])
def test_the_pods_config_is_written_anew_where_it_is_no_text(pod: Any, kind: str) -> None:
    path = Path(pod.settings.env_path)
    damage.KINDS[kind](path)
    damaged = path.read_bytes()

    with refusal("config-not-synced"):
        pod.start(make_row("a"))
    pod.client.request("config-sync")

    assert pod.run_to_end(make_row("a"))["a"]["state"] == "success"
    (aside,) = path.parent.glob("*.unreadable-*")
    assert aside.read_bytes() == damaged


@pytest.mark.fault("S1")
@pytest.mark.parametrize("go_on", ["start", "resume"])
def test_a_good_row_whose_summary_is_damaged_is_not_trained_again(pod: Any, go_on: str) -> None:
    before = pod.run_to_end(make_row("a"))["a"]
    summary = pod.outputs / "a" / "summary.json"
    damage.truncate(summary)
    damaged = summary.read_bytes()
    assert pod.rows()["a"]["state"] == "unreadable"

    if go_on == "start":
        assert list(pod.start(make_row("a"))["adopted"]) == ["a"]
    else:
        assert pod.resume()["to_run"] == []

    after = {row["run_id"]: row for row in pod.ended()["rows"]}["a"]
    assert (after["state"], after["attempts"]) == ("success", 1)
    assert after["metrics"] == before["metrics"]
    (aside,) = summary.parent.glob("summary.json.unreadable-*")
    assert aside.read_bytes() == damaged
