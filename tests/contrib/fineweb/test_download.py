"""Shards from the hub, through the real huggingface_hub, whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths
from pytest_wf.agent.control.settings import Settings
from pytest_wf.contrib.fineweb import pod_program
from pytest_wf.contrib.fineweb.pod_program import Mount
from pytest_wf.wire.files import sha256_bytes
from pytest_wf.wire.messages import Refusal

Act = Callable[..., dict[str, Any]]
TRAIN, VAL = "fineweb_train_000001.bin", "fineweb_val_000000.bin"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """DATA_DIR, which is not there yet."""
    return tmp_path / "shards"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_one_shard_of_each_kind_is_downloaded_and_nothing_else_is_left(
    checkout: Act, hub: Any, shards: Path, settings: Settings
) -> None:
    found = checkout()

    assert names(shards) == [TRAIN, VAL]
    assert (shards / VAL).read_bytes() == hub.files[VAL]
    assert (found["path"], found["count"], found["tokens"]) == ("direct", 2, 1000)
    assert found["from"]["endpoint"] == hub.url
    assert found["from"]["files"][TRAIN]["commit"] == "ab" * 20
    assert found["downloaded"][TRAIN] == {"sha256": sha256_bytes(hub.files[TRAIN]), "tries": 1}
    assert created_paths.paths(settings)[-2:] == [str(shards / TRAIN), str(shards / VAL)]
    assert not (shards.parent / "hf" / "hub").exists()


def test_what_is_whole_is_not_downloaded_again(checkout: Act, hub: Any, shards: Path) -> None:
    checkout()
    hub.served.clear()
    (shards / VAL).unlink()

    found = checkout()

    assert [name for name, _ in hub.served] == [VAL]
    assert list(found["downloaded"]) == [VAL]


def test_a_shard_that_is_not_whole_is_never_replaced_by_a_download(
    checkout: Act, shards: Path, make_shard: Callable[..., bytes]
) -> None:
    shards.mkdir()
    torso = make_shard()[:-100]
    (shards / TRAIN).write_bytes(torso)

    with pytest.raises(Refusal, match=f"{TRAIN} is not a whole shard: ") as refused:
        checkout()

    assert refused.value.remedy == "Move it away: a download replaces no file."
    assert {name: (shards / name).read_bytes() for name in names(shards)} == {TRAIN: torso}


def test_a_shard_that_was_placed_before_the_program_died_is_recorded(
    checkout: Act, hub: Any, shards: Path, settings: Settings
) -> None:
    def dies(program: str) -> str:
        placed = "            taken[name] ="
        assert placed in program
        return program.replace(placed, f"            os._exit(9)\n{placed}")

    with pytest.raises(Refusal, match="exit status 9"):
        checkout(change=dies)

    assert (shards / TRAIN).exists()
    assert created_paths.paths(settings)[-1] == str(shards / TRAIN)


def test_a_download_that_times_out_says_what_to_look_at(checkout: Act, hub: Any) -> None:
    def hangs(program: str) -> str:
        return program.replace("import ast", "import time; time.sleep(600)\nimport ast", 1)

    with pytest.raises(Refusal, match="timed out") as refused:
        checkout(change=hangs, timeout_s=1)

    assert refused.value.remedy.startswith("Check the pod's network and HF_ENDPOINT")


def test_a_truncated_and_a_wrong_magic_shard_are_refused_and_fetched_again(
    checkout: Act, hub: Any, shards: Path, make_shard: Callable[..., bytes]
) -> None:
    hub.instead[TRAIN] = [hub.files[TRAIN][:-10], hub.files[TRAIN]]
    hub.instead[VAL] = [make_shard(400, magic=1), hub.files[VAL]]

    found = checkout()

    assert {n: (shards / n).read_bytes() for n in names(shards)} == hub.files
    assert [found["downloaded"][n]["tries"] for n in (TRAIN, VAL)] == [2, 2]


def test_a_shard_of_the_right_form_and_another_content_is_refused(
    checkout: Act, hub: Any, shards: Path, make_shard: Callable[..., bytes]
) -> None:
    hub.instead[TRAIN] = [make_shard(seed=9)]

    with pytest.raises(Refusal, match=f"{TRAIN} was downloaded 2 times.*its SHA-256 is not") as e:
        checkout()

    assert e.value.kind == "data"
    assert TRAIN not in names(shards)


def test_a_cut_link_leaves_no_torso_and_the_next_checkout_goes_on(
    checkout: Act, hub: Any, shards: Path, make_shard: Callable[..., bytes]
) -> None:
    hub.files[TRAIN] = make_shard(8_000_000)  # the client keeps what it has in pieces of 10 MiB
    hub.cut_after = 12_000_000

    try:  # newer clients go on by themselves
        checkout()
    except Refusal:
        assert TRAIN not in names(shards)
        checkout()

    assert {n: (shards / n).read_bytes() for n in names(shards)} == hub.files
    assert hub.served[1][0] == TRAIN
    assert hub.served[1][1] > 0, "it went on where the link was cut"


def test_a_hub_that_does_not_have_it_is_told(checkout: Act, hub: Any) -> None:
    hub.files.clear()

    with pytest.raises(Refusal, match="could not be downloaded") as refused:
        checkout()

    assert refused.value.kind == "data"
    assert "HF_ENDPOINT" in refused.value.remedy


def test_a_full_disk_is_found_before_anything_is_downloaded(checkout: Act, hub: Any) -> None:
    def wants_more(program: str) -> str:
        spare = "_SPARE_BYTES = 64 * 1024 * 1024"
        assert spare in program
        return program.replace(spare, "_SPARE_BYTES = 1 << 60")

    with pytest.raises(Refusal, match=r"MiB free, and the shards take"):
        checkout(change=wants_more)

    assert hub.served == []


def test_the_endpoint_of_the_config_goes_before_that_of_the_pod(
    checkout: Act, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")

    found = checkout(HF_ENDPOINT=hub.url)

    assert found["from"]["endpoint"] == hub.url


def test_without_huggingface_hub_it_says_what_to_install(
    checkout: Act, hub: Any, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match="needs huggingface_hub") as refused:
        checkout(REMOTE_PYTHON_BIN=os.path.realpath(sys.executable))

    assert "pip install huggingface_hub" in refused.value.remedy


def test_the_mount_table_tells_where_a_path_is(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(
        "overlay / overlay rw 0 0\n"
        f"s3fs {tmp_path}/a\\040b fuse.s3fs rw 0 0\n"
        f"disk {tmp_path}/a\\040b/local ext4 rw 0 0\n"
        f"bkt {tmp_path}/plain fuse rw 0 0\n"
    )

    found = {
        name: pod_program.mount_of(f"{tmp_path}/{name}", str(table))
        for name in ("a b/shards", "a b/local/x", "a", "plain", "plainly")
    }

    assert found["a b/shards"] == Mount("s3fs", f"{tmp_path}/a b", "fuse.s3fs")
    assert {name: mount.is_remote for name, mount in found.items()} == {
        "a b/shards": True,
        "a b/local/x": False,
        "a": False,
        "plain": True,
        "plainly": False,
    }
