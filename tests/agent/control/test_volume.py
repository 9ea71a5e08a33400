"""A file system is tried before it holds the lease, the state and the records."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_wf.agent.control import created_paths, volume
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from tests.support import odd_volume

_CHECK = """
import json, sys
from pytest_wf.agent.control import volume
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
try:
    volume.check(Settings(json.load(sys.stdin)))
except Refusal as e:
    print(e.kind, e.message, e.remedy)
"""


def test_a_local_disk_holds_control_files_and_the_trial_leaves_nothing(settings: Settings) -> None:
    Path(settings.control).mkdir(parents=True)
    volume.check(settings)
    assert os.listdir(settings.control) == []


@pytest.mark.fault("D4")
@pytest.mark.skipif(not odd_volume.has_compiler(), reason="no C compiler is installed")
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("copies", "a rename is a copy, or is seen late"),
        ("keeps-old", "a rename is a copy, or is seen late"),
        ("not-new", "a file that must be new is made twice"),
        ("overwrites", "what two processes append is lost in part"),
        ("locks-all", "two processes hold one lock"),
        ("no-locks", "it has no file locks (No locks available)"),
        ("fails-to-flush", "a trial in it ended with: Input/output error"),
    ],
)
def test_a_file_system_that_breaks_a_promise_is_refused_with_its_path_and_the_way_out(
    kind: str, fault: str, settings: Settings, tmp_path: Path
) -> None:
    Path(settings.control).mkdir(parents=True)
    env = {**os.environ, **odd_volume.environ(tmp_path, kind)}
    done = subprocess.run(
        [sys.executable, "-c", _CHECK],
        env=env,
        input=json.dumps(dict(settings)),
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"volume the file system of {settings.control} on the pod"), done
    assert fault in done.stdout
    assert "Set OPS_REMOTE_OUTPUTS_DIR to a folder on a disk" in done.stdout
    assert os.listdir(settings.control) == []


@pytest.mark.fault("D4")
@pytest.mark.parametrize("key", volume.KEYS)
def test_an_object_store_is_refused_whatever_a_trial_says(
    key: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "mnt"
    held = {"OPS_REMOTE_OUTPUTS_DIR": str(place), "WF_STATE_FILE": str(place / "state.json")}
    settings = Settings({**values, key: held[key]})
    Path(settings.control).mkdir(parents=True)
    monkeypatch.setattr(
        created_paths,
        "file_system_of",
        lambda path: "fuse.s3fs" if Path(path).is_relative_to(place) else "ext4",
    )
    with pytest.raises(Refusal, match=r"fuse\.s3fs is an object store") as refused:
        volume.check(settings)
    assert key in refused.value.remedy


@pytest.mark.parametrize("full", ["small_disk", "few_inodes"])
def test_a_full_disk_is_not_tried(
    full: str, request: pytest.FixtureRequest, values: dict[str, str]
) -> None:
    disk: Path = request.getfixturevalue(full)
    settings = Settings(
        {**values, "OPS_REMOTE_OUTPUTS_DIR": str(disk), "WF_STATE_FILE": f"{disk}/_control/s.json"}
    )
    Path(settings.control).mkdir()
    try:
        for n in range(1000):
            (disk / str(n)).write_bytes(bytes(1 << 20 if full == "small_disk" else 0))
    except OSError:
        volume.check(settings)


def test_a_folder_that_nobody_may_write_to_is_named_as_such(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    Path(settings.control).mkdir(parents=True)
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(PermissionError):
        volume.check(settings)
