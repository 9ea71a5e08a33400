"""Files of all kinds come home, or are named and cost their own run the word 'complete'."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_wf.evidence.fetch_record import LeftOut
from pytest_wf.fetch import local_names
from pytest_wf.fetch.local_names import LocalNames
from pytest_wf.fetch.local_runs import verified_runs
from tests.support.deep_folder import make_file_below
from tests.support.growing_log import growing
from tests.support.run_on_pod import CAMPAIGN, RunOnPod

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")
no_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


def whys(left_out: Sequence[LeftOut]) -> dict[str, str]:
    """Why each path was left out."""
    return {one.path: one.why for one in left_out}


def test_a_link_that_stays_inside_the_run_is_carried_as_a_relative_link(run: RunOnPod) -> None:
    run.write("steps/5/model.bin", b"5")
    links = {
        "latest": "steps/5",
        "absolute": str(run.out / "steps" / "5" / "model.bin"),
        "steps/5/back": "../../latest/model.bin",
        "chained": "absolute",
        "top": "..",
    }
    for name, to in links.items():
        (run.out / name).symlink_to(to)
    fetched = run.bring()
    assert (fetched.verified, fetched.left_out) == (True, ())
    out = run.here / "out"
    assert {name: os.readlink(out / name) for name in links} == {
        "latest": "steps/5",
        "absolute": "steps/5/model.bin",
        "steps/5/back": "model.bin",
        "chained": "steps/5/model.bin",
        "top": "..",
    }
    for name in ("latest/model.bin", "absolute", "steps/5/back", "chained"):
        assert (out / name).read_bytes() == b"5"
    (out / "chained").unlink()
    assert verified_runs(run.here.parent, CAMPAIGN) == set(), "a link is part of the run"
    assert run.bring().verified


def test_a_link_that_leaves_the_run_dangles_or_loops_is_named_and_not_followed(
    run: RunOnPod, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("secret")
    links = {"away": f"{tmp_path}/data", "off": f"{tmp_path}/none", "gone": "none", "loop": "loop"}
    for name, to in links.items():
        (run.out / name).symlink_to(to)
    fetched = run.bring()
    assert not fetched.verified
    assert whys(fetched.missing) == {
        "out/away": f"a link out of the run directory, to {tmp_path / 'data'}",
        "out/off": "a link that leads nowhere: No such file or directory",
    }
    assert whys(fetched.left_out) == {
        **whys(fetched.missing),
        "out/gone": "a link to nothing in the run directory",
        "out/loop": "a link to nothing in the run directory",
    }
    assert not (run.here / "out").exists()
    assert (run.here / "summary.json").exists(), "all else is here"


def test_what_a_tracker_keeps_as_a_link_out_of_the_run_comes_home_as_a_file(
    run: RunOnPod, tmp_path: Path
) -> None:
    """The layout is that of W&B 0.31 offline: its own log is in the user's cache."""
    (tmp_path / "core-debug.log").write_text("core")
    (tmp_path / "saved.bin").write_bytes(b"saved" * 20_000)
    (tmp_path / "data").mkdir()
    folder = run.folder / "trackers" / "wandb" / "offline-run-1"
    for name in ("logs", "files"):
        (folder / name).mkdir(parents=True)
    (folder / "run-1.wandb").write_text("x")
    (folder / "logs" / "debug.log").write_text("log")
    (folder / "logs" / "debug-core.log").symlink_to(tmp_path / "core-debug.log")
    (folder / "files" / "saved.bin").symlink_to(tmp_path / "saved.bin")
    (folder.parent / "latest-run").symlink_to("offline-run-1")
    (folder.parent / "debug.log").symlink_to("offline-run-1/logs/debug.log")
    fetched = run.bring()
    assert (fetched.verified, fetched.left_out) == (True, ())
    here = run.here / "trackers" / "wandb"
    assert (here / "latest-run" / "logs" / "debug-core.log").read_text() == "core"
    assert (here / "latest-run" / "files" / "saved.bin").read_bytes() == b"saved" * 20_000
    assert not (here / "latest-run" / "files" / "saved.bin").is_symlink()
    (folder / "files" / "all").symlink_to(tmp_path / "data")
    (folder / "files" / "zero").symlink_to("/dev/zero")
    assert whys(run.bring().missing) == {
        "trackers/wandb/offline-run-1/files/all": (
            f"a link out of the run directory, to {tmp_path / 'data'}"
        ),
        "trackers/wandb/offline-run-1/files/zero": "a link out of the run directory, to /dev/zero",
    }


def test_an_out_folder_that_is_a_link_to_elsewhere_is_named(run: RunOnPod, tmp_path: Path) -> None:
    run.out.rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").touch()
    run.out.symlink_to(tmp_path / "elsewhere")
    assert whys(run.bring().missing) == {
        "out": f"a link out of the run directory, to {tmp_path / 'elsewhere'}"
    }
    run.out.unlink()
    run.out.symlink_to("real_out")
    (run.folder / "real_out").mkdir()
    assert run.bring().verified
    assert os.readlink(run.here / "out") == "real_out"


def test_names_of_any_bytes_come_home(run: RunOnPod) -> None:
    names = [
        b"b:0.npy",
        b"W.npy",
        b"w.npy",
        b"new\nline",
        b"\x1b[31mred",
        b"back\\slash",
        b"\xff\xfe not UTF-8",
        "e\u0301".encode(),
        "\u00e9".encode(),
        "stra\u00dfe".encode(),
        b"STRASSE",
        b"trailing. ",
        b" ",
        b"-rf",
        b"CON",
        b"n" * 255,
        b"FETCHED.json",
    ]
    out = os.fsencode(run.out)
    for name in names:
        Path(os.fsdecode(out + b"/" + name)).write_bytes(name)
    fetched = run.bring()
    assert fetched.left_out == ()
    here = os.fsencode(run.here / "out")
    assert sorted(os.listdir(here)) == sorted(names)
    for name in names:
        assert Path(os.fsdecode(here + b"/" + name)).read_bytes() == name
    assert verified_runs(run.here.parent, CAMPAIGN, digests=True) == {"a"}
    before = (run.here / "FETCHED.json").stat().st_mtime_ns
    assert run.bring() == fetched
    assert (run.here / "FETCHED.json").stat().st_mtime_ns == before


def test_deep_folders_and_long_paths_come_home_as_far_as_this_machine_can_hold_them(
    run: RunOnPod,
) -> None:
    deep = run.write("/".join(["d"] * 200) + "/x")
    long = "/".join(["l" * 200] * 12) + "/x"
    run.write(long)
    assert len(long) > 1024
    assert run.bring().verified
    assert (run.here / "out" / long).read_bytes() == b"data"
    assert (run.here / deep.relative_to(run.folder)).exists()
    too_long = "out/" + make_file_below(run.out, "t" * 200, 24)
    fetched = run.bring()
    assert whys(fetched.missing) == {too_long: "its path is too long for this machine"}
    shutil.rmtree(run.out)


def test_a_name_that_this_file_system_cannot_hold_is_named_and_all_else_comes(
    run: RunOnPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = local_names._create
    there: set[bytes] = set()

    def on_a_file_system_that_ignores_case(path: bytes) -> None:
        folder, name = os.path.split(path)
        if b":" in name:
            raise OSError(22, "Invalid argument")
        if folder + name.lower() in there:
            raise FileExistsError
        there.add(folder + name.lower())
        create(path)

    monkeypatch.setattr(local_names, "_create", on_a_file_system_that_ignores_case)
    for path in ("b:0.npy", "W.npy", "w.npy", "Logs/x", "logs/y", "fine"):
        run.write(path, b"12345")
    fetched = run.bring()
    twin = "this file system takes its name for another file's"
    assert sorted(fetched.missing) == [
        LeftOut("out/b:0.npy", 5, "this file system cannot hold its name: Invalid argument"),
        LeftOut("out/logs/", 5, twin),
        LeftOut("out/w.npy", 5, twin),
    ]
    assert sorted(os.listdir(run.here / "out")) == ["Logs", "W.npy", "fine"]


@only_root
def test_a_file_system_that_ignores_case_is_found_by_asking_it(tmp_path: Path) -> None:
    image, mounted = tmp_path / "image", tmp_path / "fat"
    mounted.mkdir()
    with open(image, "wb") as f:
        f.truncate(4 << 20)
    made = shutil.which("mkfs.vfat") and subprocess.run(["mkfs.vfat", str(image)], check=False)
    mount = ["mount", "-o", "loop", str(image), str(mounted)]
    if not made or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no vfat here")
    try:
        refused = LocalNames(mounted).refused(["a/W.npy", "a/w.npy", "b:0.npy", "fine"])
        assert set(refused) == {"a/w.npy", "b:0.npy"}
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_file_with_the_name_of_the_commit_record_is_named(run: RunOnPod) -> None:
    (run.folder / "FETCHED.json").write_text("{}")
    assert whys(run.bring().missing) == {"FETCHED.json": "the record of the fetch has this name"}


def test_a_sparse_file_comes_home_with_its_bytes_and_without_filling_the_disk(
    run: RunOnPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 50_000_000
    for path, data_at in (("holes.bin", 10_000_000), ("nothing.bin", 0)):
        with open(run.write(path), "r+b") as f:
            f.truncate(size)
            f.seek(data_at)
            f.write(b"data" if data_at else b"")
    free = shutil.disk_usage(run.folder)._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert run.bring().verified
    for path in ("holes.bin", "nothing.bin"):
        here = run.here / "out" / path
        assert here.read_bytes() == (run.out / path).read_bytes()
        assert here.stat().st_blocks * 512 < size / 10


def test_a_run_is_whole_without_what_has_no_content(run: RunOnPod) -> None:
    """As where a trainer has removed the checkpoint that its link `last.ckpt` leads to."""
    os.mkfifo(run.out / "pipe")
    (run.out / "last").symlink_to("epoch=3")
    (run.out / "latest-pipe").symlink_to("pipe")
    fetched = run.bring()
    assert (fetched.verified, fetched.missing) == (True, [])
    assert set(whys(fetched.left_out)) == {"out/pipe", "out/last", "out/latest-pipe"}


def test_sockets_pipes_and_devices_are_named(
    run: RunOnPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(run.out / "pipe")
    monkeypatch.chdir(run.out)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        expected = {"out/pipe": "a named pipe", "out/socket": "a socket"}
        if os.geteuid() == 0:
            os.mknod("null", 0o666 | 0o020000, os.makedev(1, 3))
            expected["out/null"] = "a character device"
        assert whys(run.bring().left_out) == expected


@no_root
def test_files_and_folders_that_cannot_be_read_are_named(run: RunOnPod) -> None:
    run.write("mine").chmod(0)
    run.write("locked/x").parent.chmod(0)
    try:
        fetched = run.bring()
    finally:
        (run.out / "locked").chmod(0o755)
    assert whys(fetched.missing) == {
        "out/mine": "cannot be read: Permission denied",
        "out/locked/": "cannot be read: Permission denied",
    }
    assert not (run.here / "out" / "mine").exists(), "an empty file would look like a result"


def test_hard_links_come_as_files_and_empty_folders_as_folders(run: RunOnPod) -> None:
    os.link(run.write("one"), run.out / "two")
    (run.out / "empty" / "inside").mkdir(parents=True)
    assert run.bring().verified
    assert (run.here / "out" / "two").read_bytes() == b"data"
    assert (run.here / "out" / "empty" / "inside").is_dir()
    (run.here / "out" / "empty" / "inside").rmdir()
    assert verified_runs(run.here.parent, CAMPAIGN) == set()


def test_a_file_that_stops_changing_makes_its_run_whole_at_the_next_try(run: RunOnPod) -> None:
    log = run.write("log", b"1\n")
    lines = [b"2\n", b"3\n"]

    def go_on(done: int, total: int) -> None:
        if lines:
            with open(log, "ab") as f:
                f.write(lines.pop(0))

    assert run.bring(on_bytes=go_on).verified
    assert (run.here / "out" / "log").read_bytes() == b"1\n2\n3\n"


def test_a_file_that_goes_on_changing_is_named_and_what_there_was_of_it_is_here(
    run: RunOnPod,
) -> None:
    log = run.write("log", b"1\n")
    run.write("done", b"done")
    with growing(log, run.client):
        fetched = run.bring()
    assert "changed while" in whys(fetched.missing)["out/log"]
    assert set(whys(fetched.missing)) == {"out/log"}
    assert log.read_bytes().startswith((run.here / "out" / "log").read_bytes())
    assert run.bring().verified, "now it has ended"


@pytest.mark.parametrize("what", ["goes", "shrinks", "is replaced by a link"])
def test_a_file_that_is_not_what_was_listed_any_more_does_not_stop_the_fetch(
    run: RunOnPod, what: str, tmp_path: Path
) -> None:
    first, file = run.write("a_first", os.urandom(100_000)), run.write("x", os.urandom(300_000))
    (tmp_path / "secret").write_bytes(os.urandom(300_000))

    def meddle(done: int, total: int) -> None:
        if what == "shrinks":
            if file.stat().st_size > 70_000:
                os.truncate(file, 70_000)
            return
        file.unlink(missing_ok=True)
        if what != "goes":
            file.symlink_to(tmp_path / "secret")

    fetched = run.bring(on_bytes=meddle)
    assert (run.here / "out" / "a_first").read_bytes() == first.read_bytes()
    if what == "is replaced by a link":
        assert set(whys(fetched.missing)) == {"out/x"}
        assert not (run.here / "out" / "x").exists()
    else:
        assert fetched.verified, "at the second try"


def test_one_odd_file_costs_its_own_run_alone_the_word_complete(run: RunOnPod) -> None:
    (run.out / "away").symlink_to("/etc/passwd")
    for name in ("b", "c"):
        (run.folder.parent / name).mkdir()
        (run.folder.parent / name / "summary.json").write_text("{}")
    (run.folder.parent / "d").symlink_to("b")
    runs = run.fetch("a", "b", "c", "d", "e")
    assert {name: fetched.verified for name, fetched in runs.items()} == {
        "a": False,
        "b": True,
        "c": True,
        "d": False,
        "e": False,
    }
    assert [one.why for one in runs["d"].missing] == ["the run directory is a link"]
    assert [one.why for one in runs["e"].missing] == ["the pod has no directory of this run"]
    assert verified_runs(run.here.parent, CAMPAIGN) == {"b", "c"}
    assert json.loads((run.here / "FETCHED.json").read_text())["whole"] is False
