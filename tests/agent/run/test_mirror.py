"""RUN_OUT_MODE=local_sync: runs write to a local disk, and all of it comes to the durable one."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.agent.control import frozen_campaign
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.run.mirror import Mirror
from pytest_wf.agent.sweep import launch
from pytest_wf.errors import OperationFailed
from pytest_wf.wire.files import read_json
from pytest_wf.wire.messages import Refusal
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRow = Callable[..., dict[str, Any]]

WRITING = (
    "(out / 'ckpt.pt').write_text(sys.argv[2])\n"
    "(out / 'metrics.jsonl').write_text('{\"step\": 4, \"loss\": 0.5}\\n')\n"
    "(out / 'summary.json').write_text('mine')\n"
)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The fast local disk."""
    return tmp_path / "local"


@pytest.fixture
def mirrored(pod_with: Any, local: Path) -> Any:
    """A pod whose runs write to `local`."""
    return pod_with(
        RUN_OUT_MODE="local_sync", RUN_OUT_LOCAL_ROOT=str(local), SYNC_INTERVAL_SECS="1"
    )


def odd(pod: Any, run_path: str) -> list[list[Any]]:
    """What a listing of the run names as not to be had from its directory."""
    listed = pod.client.request("listing", {"run_ids": [run_path]})
    found: list[list[Any]] = listed["runs"][run_path]["odd"]
    return found


def test_a_run_writes_locally_and_all_of_it_is_durable_in_the_end(
    mirrored: Any, local: Path
) -> None:
    mirrored.trainer(WRITING)
    row = mirrored.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["metrics"]) == ("success", {"step": 4, "loss": 0.5})
    durable = mirrored.outputs / "a"
    assert (durable / "out" / "ckpt.pt").read_text() == f"out_dir={local}/a"
    assert mirrored.summary("a")["ok"] is True
    assert {path.name for path in durable.iterdir()} == {
        *("attempts", "command.sh", "made.json", "metrics.jsonl"),
        *("out", "status.json", "stdout.log", "summary.json"),
    }
    for folder in (durable / "out", local / "a"):
        assert {path.name for path in folder.iterdir()} == {
            *("ckpt.pt", "metrics.jsonl", "summary.json")
        }, "the trainer's files alone"


def test_checkpoints_are_durable_while_the_run_goes_on(mirrored: Any, local: Path) -> None:
    mirrored.trainer(
        WRITING + "print('up', flush=True)\n"
        "while not (out / 'go').exists(): time.sleep(0.05)\nos.unlink(out / 'ckpt.pt')\n"
    )
    mirrored.start(make_row("a"))
    until((mirrored.outputs / "a" / "out" / "ckpt.pt").exists, "the first copy")
    assert mirrored.rows()["a"]["state"] == "running"
    until(lambda: mirrored.rows()["a"]["progress"], "progress from the local metrics")
    (local / "a" / "go").touch()
    assert mirrored.ended()["ok"] == 1
    assert not (local / "a" / "ckpt.pt").exists()
    assert (mirrored.outputs / "a" / "out" / "ckpt.pt").exists(), "a mirror never deletes"


def test_an_empty_local_directory_wipes_nothing_and_begins_with_what_is_durable(
    mirrored: Any, local: Path
) -> None:
    mirrored.trainer("(out / 'ckpt.pt').write_text('step 100')\nsys.exit(1)\n")
    mirrored.run_to_end(make_row("a"))
    subprocess.run(["rm", "-rf", str(local)], check=True)
    mirrored.trainer("print('resumed at', (out / 'ckpt.pt').read_text())\n")
    mirrored.resume()
    ended = mirrored.ended()
    assert ended["ok"] == 1, f"{ended}\n{mirrored.log('a')}"
    assert "resumed at step 100" in mirrored.log("a")
    assert (mirrored.outputs / "a" / "out" / "ckpt.pt").read_text() == "step 100"


def test_what_another_campaign_left_locally_is_moved_aside(mirrored: Any, local: Path) -> None:
    mirrored.trainer("(out / 'seen').write_text(str(sorted(os.listdir(out))))\n")
    first = mirrored.start(make_row("a"))["campaign_id"]
    mirrored.ended()
    mirrored.start(make_row("a"), make_row("b"), force=True)
    assert mirrored.ended()["ok"] == 2
    assert (local / "_archive" / first / "a" / "seen").exists()
    assert (mirrored.outputs / "a" / "out" / "seen").read_text() == "[]"


def test_what_no_run_made_locally_is_never_moved(mirrored: Any, local: Path) -> None:
    (local / "b").mkdir(parents=True)
    (local / "b" / "old.pt").touch()
    with pytest.raises(OperationFailed, match="pytest-wf did not make it") as refused:
        mirrored.start(make_row("a"), make_row("b"), force=True)
    assert refused.value.facts["paths"] == [str(local / "b")]
    assert os.listdir(local / "b") == ["old.pt"]
    assert not (mirrored.outputs / "a").exists()


def test_a_link_of_the_repository_is_not_followed_out_of_it(pod_with: Any, tmp_path: Path) -> None:
    root = tmp_path / "pod" / "repo" / "out"
    pod = pod_with(RUN_OUT_MODE="local_sync", RUN_OUT_LOCAL_ROOT=str(root))
    (tmp_path / "elsewhere").mkdir()
    (pod.repo / "out").symlink_to(tmp_path / "elsewhere")
    pod.trainer("pass\n")
    with pytest.raises(OperationFailed, match=f"{pod.repo}/out exists"):
        pod.start(make_row("a"))
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_good_run_whose_results_do_not_fit_has_failed_and_says_where_they_are(
    small_disk: Path, pod_with: Any, local: Path
) -> None:
    pod = pod_with(
        RUN_OUT_MODE="local_sync",
        RUN_OUT_LOCAL_ROOT=str(local),
        SYNC_INTERVAL_SECS="60",
        OPS_REMOTE_OUTPUTS_DIR=f"{small_disk}/outputs",
        WF_STATE_FILE=f"{small_disk}/outputs/_control/workflow_state.json",
    )
    pod.trainer("(out / 'ckpt.pt').write_bytes(b'x' * (20 << 20))\n")
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["state"], row["failure_class"], row["exit_code"]) == ("failed", "disk_full", 0)
    assert f"its results in {local}/a could not be mirrored" in row["reason"]
    assert "No space left" in row["reason"]
    assert (local / "a" / "ckpt.pt").stat().st_size == 20 << 20
    assert odd(pod, "a") == [["out/ckpt.pt", 20 << 20, f"only on the pod's local disk, {local}/a"]]


def test_what_the_local_disk_alone_has_is_named_with_the_run(mirrored: Any, local: Path) -> None:
    mirrored.trainer(
        "(out / 'same').write_text('x')\n(out / 'changed').write_text('x')\n"
        "(out / 'latest').symlink_to('same')\n"
    )
    first = mirrored.start(make_row("a"))["campaign_id"]
    mirrored.ended()
    assert odd(mirrored, "a") == []
    (local / "a" / "late.pt").write_text("late")
    (local / "a" / "changed").write_text("more")
    lacking: list[tuple[str, int, str]] = [
        (f"out/{name}", 4, f"only on the pod's local disk, {local}/a")
        for name in ("changed", "late.pt")
    ]
    assert odd(mirrored, "a") == [[*one] for one in lacking]
    mirrored.start(make_row("a"), force=True)
    mirrored.ended()
    assert odd(mirrored, "a") == []
    archived = f"_archive/{first}/a"
    named = [[path, size, why.replace("/a", f"/{archived}")] for path, size, why in lacking]
    assert odd(mirrored, archived) == named
    (local / archived).rename(local / "a.moved")
    (local / ".a.campaign").write_text(first)
    (local / "a" / "late.pt").write_text("late")
    assert "late.pt" in str(odd(mirrored, archived)), "not moved aside yet"


def test_absolute_links_of_a_trainer_lead_to_the_same_files_in_the_copy_and_in_the_archive(
    mirrored: Any,
) -> None:
    mirrored.trainer(
        "(out / 'ckpt-5').write_text('x')\n(out / 'best').symlink_to(out.resolve() / 'ckpt-5')\n"
        "(out / 'last').symlink_to(out.resolve() / 'rotated')\n"
        "(out / 'away').symlink_to('/etc/hostname')\n"
    )
    first = mirrored.start(make_row("a"))["campaign_id"]
    mirrored.ended()
    mirrored.start(make_row("a"), force=True)
    mirrored.ended()
    for run_path in ("a", f"_archive/{first}/a"):
        listed = mirrored.client.request("listing", {"run_ids": [run_path]})["runs"][run_path]
        assert ["out/best", "out/ckpt-5"] in listed["links"]
        assert [one for one in listed["odd"] if one[0].startswith("out/")] == [
            ["out/away", 0, "a link out of the run directory, to /etc/hostname"],
            ["out/last", 0, "a link to nothing in the run directory"],
        ]


def test_a_last_copy_that_lacks_only_what_cannot_be_read_has_not_failed(
    mirrored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "rsync ended with status 23: send_files failed to open x: Permission denied (13)"
    tool = tmp_path / "bin" / "rsync"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho '{told.partition(': ')[2]}' >&2\nexit 23\n")
    tool.chmod(0o755)
    mirrored.trainer(WRITING)
    mirrored.run_to_end(make_row("a"))
    campaign = frozen_campaign.find(mirrored.settings)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    copies = Mirror(campaign, campaign.rows[0])
    assert copies.copy() == told, "another copy follows"
    assert (copies.copy(is_last=True), copies.complaints) == (None, [told])
    (mirrored.outputs / "a" / "out" / "ckpt.pt").unlink()
    assert copies.copy(is_last=True) == told
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert copies.copy(is_last=True) is None


def test_a_local_directory_that_the_trainer_took_away_is_noted(mirrored: Any, local: Path) -> None:
    mirrored.trainer("(out / 'x').write_text('x')\nout.rename(str(out) + '.away')\n")
    row = mirrored.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success"
    assert f"the trainer removed {local}/a" in str(row["notes"])


def test_a_sparse_file_stays_sparse(mirrored: Any) -> None:
    mirrored.trainer("with open(out / 'sparse', 'wb') as f: f.truncate(1 << 28)\n")
    mirrored.run_to_end(make_row("a"))
    copy = (mirrored.outputs / "a" / "out" / "sparse").stat()
    assert copy.st_size == 1 << 28
    assert copy.st_blocks * 512 < 1 << 20


def test_a_copy_that_fails_meanwhile_is_noted_and_tried_again(
    mirrored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "rsync"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n[ -e {tmp_path}/mended ] || {{ echo broken >&2; exit 12; }}\n")
    tool.chmod(0o755)
    mirrored.trainer("print('up')\n")
    mirrored.run_to_end(make_row("a"))
    campaign = frozen_campaign.find(mirrored.settings)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    copies = Mirror(campaign, campaign.rows[0])
    assert copies.copy() == copies.copy() == "rsync ended with status 12: broken"
    (tmp_path / "mended").touch()
    assert copies.finish() is None
    assert copies.complaints == ["rsync ended with status 12: broken"]


def test_a_killed_runners_files_are_brought_home_by_its_supervisor(
    mirrored: Any, local: Path
) -> None:
    mirrored.trainer(
        "print('up', flush=True)\nwhile not (out / 'late').exists(): time.sleep(0.02)\n"
        "while True: time.sleep(1)\n"
    )
    mirrored.start(make_row("a"))
    until(lambda: "up" in mirrored.wait_for_file("a/stdout.log").read_text(), "row a is up")
    runner = read_json(str(mirrored.outputs / "a/attempts/1/pid.json"))["pid"]
    os.kill(runner, signal.SIGSTOP)
    (local / "a" / "late").touch()
    os.kill(runner, signal.SIGKILL)
    assert mirrored.ended()["rows"][0]["failure_class"] == "killed"
    assert (mirrored.outputs / "a" / "out" / "late").exists()


def test_silence_is_judged_by_the_local_files(pod_with: Any, local: Path) -> None:
    pod = pod_with(
        RUN_OUT_MODE="local_sync",
        RUN_OUT_LOCAL_ROOT=str(local),
        SYNC_INTERVAL_SECS="60",
        RUN_HEARTBEAT_SECS="5",  # a machine at full load starts a process late
        RUN_RETRIES="0",
        CUDA_VISIBLE_DEVICES="0,1",
        GPUS_PER_RUN="1",
    )
    pod.trainer(
        "if os.environ['RUN_ID'] == 'b':\n    while True: time.sleep(1)\n"
        "for i in range(75):\n    time.sleep(0.1)\n    (out / 'ckpt').write_text('x' * i)\n"
    )
    rows = pod.run_to_end(make_row("a"), make_row("b"))
    assert [row["failure_class"] for row in rows.values()] == [None, "stalled"]


def test_a_pod_without_rsync_is_told_so_at_the_start(
    sweep_values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="needs rsync"):
        launch.refuse_without_means(Settings({**sweep_values, "RUN_OUT_MODE": "local_sync"}), [])
