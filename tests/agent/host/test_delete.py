"""Only what this product made is deleted; what says so stays."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths, frozen_campaign, state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import make_folder
from tests.support.deep_folder import make_file_below
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def outputs(settings: Settings) -> Path:
    """Outputs with a run, made by this product; the pod's root."""
    created_paths.directory(settings, settings.outputs)
    run = Path(settings.outputs, "run-1")
    make_folder(str(run), "a run")
    (run / "attempts" / "1").mkdir(parents=True)
    (run / "attempts" / "1" / "stdout.log").write_text("loss 0.5")
    state.reset(settings, fsm.CHECKED_OUT, "for the test")
    return Path(settings.outputs).parent


def test_what_was_made_is_gone_and_the_state_says_so(
    act: Act, outputs: Path, settings: Settings
) -> None:
    result = act("delete", flow_id="f-1")

    assert result["removed"] == [settings.outputs]
    assert result["kept"] == []
    found = state.read_state(settings)
    assert (found.state, found.flow_id) == (fsm.POD_TERMINATED, "f-1")
    assert os.listdir(settings.outputs) == ["_control"]
    assert not Path(settings.manifests).exists()


@pytest.mark.fault("T2")
@pytest.mark.parametrize("removed", [0, 1, 7])
def test_a_deletion_that_was_cut_off_is_done_again_and_takes_nothing_else(
    act: Act, outputs: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    theirs = outputs / "theirs.bin"
    theirs.write_text("years of work")
    run = Path(settings.run_dir("run-1"))
    for number in range(10):
        (run / f"{number}.bin").write_text("weights")
    unlink = os.unlink
    gone: list[str] = []

    def cut(path: str, **more: Any) -> None:
        if path.endswith(".bin"):
            if len(gone) == removed:
                raise KeyboardInterrupt
            gone.append(path)
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", cut)
    with pytest.raises(KeyboardInterrupt):
        act("delete")
    monkeypatch.setattr(os, "unlink", unlink)
    assert len(list(run.glob("*.bin"))) == 10 - removed

    assert act("delete")["kept"] == []
    assert not run.exists()
    assert theirs.read_text() == "years of work"


def test_a_run_with_a_file_that_cannot_be_removed_is_still_known_as_ours(
    act: Act, outputs: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(settings.run_dir("run-1"))
    unlink = os.unlink

    def refuse(path: str, **more: Any) -> None:
        if path.endswith("stdout.log"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    (kept,) = act("delete")["kept"]
    assert kept == {
        "path": str(run / "attempts" / "1" / "stdout.log"),
        "why": "Operation not permitted",
    }
    monkeypatch.setattr(os, "unlink", unlink)

    assert act("delete")["kept"] == []
    assert not run.exists()


def test_a_folder_deeper_than_python_recurses_is_removed(
    act: Act, outputs: Path, settings: Settings
) -> None:
    make_file_below(Path(settings.run_dir("run-1")), "d", 1100)

    assert act("delete")["kept"] == []
    assert not Path(settings.run_dir("run-1")).exists()


def test_what_stood_there_before_is_left_alone(act: Act, settings: Settings) -> None:
    theirs = Path(settings.outputs, "theirs.bin")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    created_paths.directory(settings, settings.outputs)
    run = Path(settings.outputs, "run-1")
    created_paths.directory(settings, str(run))
    state.reset(settings, fsm.CHECKED_OUT, "for the test")

    result = act("delete")

    assert result["removed"] == [str(run)]
    assert theirs.read_text() == "years of work"
    assert not run.exists()


def test_what_somebody_put_into_the_outputs_directory_stays_and_is_named(
    act: Act, outputs: Path, settings: Settings
) -> None:
    for path in (Path(settings.outputs, "analysis", "plot.png"), Path(settings.outputs, "notes")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    created_paths.record(settings, settings.env_path)
    Path(settings.env_path).write_text("export PATH=/opt/bin:$PATH\n")

    result = act("delete")

    kept = (settings.env_path, f"{settings.outputs}/analysis", f"{settings.outputs}/notes")
    assert {k["path"]: k["why"] for k in result["kept"]} == dict.fromkeys(
        kept, "pytest-wf did not make it"
    )
    assert sorted(os.listdir(settings.outputs)) == ["_control", "analysis", "notes"]


@pytest.mark.fault("T3")
def test_links_are_removed_and_never_followed(
    act: Act, outputs: Path, settings: Settings, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "ckpt.pt").write_text("weights")
    Path(settings.outputs, "run-1", "data").symlink_to(precious)
    created_paths.record(settings, str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(precious)

    act("delete")

    assert (precious / "ckpt.pt").read_text() == "weights"
    assert not (tmp_path / "link").is_symlink()


@pytest.fixture
def mounted(outputs: Path, settings: Settings) -> Iterator[Path]:
    """A file system mounted in the outputs, with a file on it."""
    where = Path(settings.outputs, "run-1", "vol ume")
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(where)], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    (where / "data.bin").write_text("data")
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.mark.fault("T3")
def test_a_mount_point_is_not_crossed(act: Act, mounted: Path) -> None:
    result = act("delete")

    assert result["kept"] == [{"path": str(mounted), "why": "it is a mount point"}]
    assert result["removed"] == []
    assert (mounted / "data.bin").read_text() == "data"


@pytest.mark.fault("T3")
def test_a_bind_mount_of_the_same_file_system_is_not_crossed(
    act: Act, mounted: Path, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x").touch()
    where = Path(settings.outputs, "bound")
    where.mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "precious"), str(where)], check=True)
    try:
        act("delete")

        assert (tmp_path / "precious" / "x").exists()
    finally:
        subprocess.run(["umount", str(where)], check=True)


def test_roots_homes_and_mount_points_are_refused_before_anything_goes(
    act: Act, outputs: Path, settings: Settings, mounted: Path
) -> None:
    for path in (
        "/",
        str(Path.home()),
        str(Path.home().parent),
        str(mounted),
        "relative",
        "/a/../b",
    ):
        created_paths.record(settings, path)

        with pytest.raises(Refusal, match="is never deleted") as refused:
            act("delete")

        assert refused.value.kind == "delete"
        assert Path(settings.outputs, "run-1").exists()
        assert state.read_state(settings).state == fsm.CHECKED_OUT
        created_paths.keep_only(settings, [settings.outputs])


@pytest.mark.parametrize("name", [fsm.SWEEP_RUNNING, fsm.ARTIFACTS_FETCHING])
def test_a_pod_at_work_is_deleted_only_by_force(
    act: Act, outputs: Path, settings: Settings, name: str
) -> None:
    state.reset(settings, name, "for the test")

    with pytest.raises(Refusal, match=f"the pod is in {name}") as refused:
        act("delete")
    assert refused.value.kind == "illegal-state"
    assert Path(settings.outputs, "run-1").exists()

    act("delete", force=True)
    assert state.read_state(settings).state == fsm.POD_TERMINATED


@pytest.mark.fault("F8")
def test_deleting_twice_is_well(act: Act, outputs: Path) -> None:
    act("delete")

    assert act("delete")["kept"] == []


def test_a_damaged_record_deletes_nothing(act: Act, outputs: Path, settings: Settings) -> None:
    for name in ("made.json", "made.json.copy"):
        Path(settings.control, name).write_text('{"paths": ["/"')

    with pytest.raises(Refusal, match="cannot be read"):
        act("delete")

    assert Path(settings.outputs, "run-1").exists()


def test_a_damaged_record_that_has_a_copy_deletes_what_the_copy_names(
    act: Act, outputs: Path, settings: Settings
) -> None:
    Path(settings.control, "made.json").write_text('{"paths": ["/"')

    assert settings.outputs in act("delete")["removed"]


def test_a_record_that_cannot_be_read_is_begun_anew_and_kept(
    outputs: Path, settings: Settings
) -> None:
    for name in ("made.json", "made.json.copy"):
        Path(settings.control, name).write_text("{")

    created_paths.record(settings, "/somewhere/new")

    assert created_paths.paths(settings) == ["/somewhere/new"]
    assert len(list(Path(settings.control).glob("made.json*.unreadable-*"))) == 2


def test_after_a_deletion_the_pod_can_be_used_again(
    client: AgentClient, settings: Settings, connect: Callable[..., AgentClient]
) -> None:
    client.request("bootstrap")
    first = client.request("delete", {"flow_id": "f-1"}, id="d-1")

    assert client.request("delete", {"flow_id": "f-1"}, id="d-1") == first
    assert not Path(settings.env_path).exists()
    with pytest.raises(OperationFailed, match="is not the config"):
        client.request("bootstrap")
    assert client.request("ready")["state"] == "POD_READY"
    assert client.request("bootstrap")["missing"] == []
    again = connect(dict(settings))
    again.token = client.token
    assert settings.outputs in again.request("delete")["removed"]


def test_a_living_supervisor_stops_a_deletion_and_force_stops_the_supervisor(pod: Any) -> None:
    pod.trainer("print('up', flush=True)\ntime.sleep(600)\n")
    pod.start(make_row("a"))
    run = pod.outputs / "a"
    until(lambda: (run / "stdout.log").exists() and "up" in (run / "stdout.log").read_text())
    pod.client.request("fsm-reset", {"state": "SWEEP_STALLED", "reason": "a mistake"})

    with pytest.raises(OperationFailed) as refused:
        pod.client.request("delete")

    assert refused.value.kind == "sweep-running"
    campaign = frozen_campaign.find(pod.settings)
    assert frozen_campaign.supervision(campaign) == "alive"

    pod.client.request("delete", {"force": True}, timeout_s=120)

    assert frozen_campaign.supervision(campaign) != "alive"
    assert not run.exists()
    assert pod.client.request("state")["state"] == "POD_TERMINATED"
