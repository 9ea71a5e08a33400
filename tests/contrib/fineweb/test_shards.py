"""The contract on FineWeb: whole shards before any row starts, and none that is not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.contrib.fineweb.pod_program import dataset_of, look_at
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]
TRAIN, VAL = "fineweb_train_000001.bin", "fineweb_val_000000.bin"


@pytest.fixture
def shards(tmp_path: Path, make_shard: Callable[..., bytes]) -> Path:
    """DATA_DIR with a whole shard of each kind."""
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / TRAIN).write_bytes(make_shard())
    (folder / VAL).write_bytes(make_shard(400))
    return folder


def test_whole_shards_are_recorded_and_nothing_is_asked_of_the_hub(
    checkout: Act, shards: Path
) -> None:
    found = checkout()

    assert (found["path"], found["checked"], found["count"]) == ("present", True, 2)
    assert found["tokens"] == 1000
    assert found["shards"][0] == {"name": TRAIN, "bytes": 1024 + 1200, "tokens": 600}
    assert found["needed_by"] == ["config/fineweb.py"]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (struct.pack("<256i", 20240521, 1, 600, *[0] * 253) + bytes(1200), "magic number is 2024"),
        (struct.pack("<256i", 20240520, 2, 600, *[0] * 253) + bytes(1200), "of version 2, not 1"),
        (struct.pack("<256i", 20240520, 1, 600, *[0] * 253) + bytes(1199), "it has 2223"),
        (struct.pack("<256i", 20240520, 1, 600, *[0] * 253) + bytes(1201), "it has 2225"),
        (struct.pack("<256i", 20240520, 1, -5, *[0] * 253), "it has -5 tokens"),
        (b"x" * 1023, "less than a header"),
        (b"", "less than a header"),
    ],
    ids=["magic", "version", "cut short", "too long", "negative", "no header", "empty"],
)
def test_a_shard_that_is_not_whole_is_told_why(broken: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / VAL).write_bytes(broken)

    assert why in look_at(str(tmp_path / VAL)).why


def test_a_shard_that_is_not_whole_stops_it_by_name(
    checkout: Act, shards: Path, settings: Settings
) -> None:
    torso = (shards / VAL).read_bytes()[:-1]
    (shards / VAL).write_bytes(torso)

    with pytest.raises(Refusal, match=f"shard to validate on.*{VAL}: .*it has 1823") as refused:
        checkout(DOWNLOAD_FINEWEB="0")

    assert refused.value.kind == "data"
    assert "DOWNLOAD_FINEWEB=1" in refused.value.remedy
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED
    assert (shards / VAL).read_bytes() == torso


def test_no_data_at_all_is_told_for_both_kinds(checkout: Act, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="to train on and none to validate on, which config/fineweb"):
        checkout(DOWNLOAD_FINEWEB="0")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"DATA_DIR": ""}, "DATA_DIR is empty"),
        ({"dataset": "shakespeare_char"}, "no training config names it"),
    ],
    ids=["no DATA_DIR", "overridden"],
)
def test_a_training_that_does_not_read_it_needs_none(
    checkout: Act, keys: dict[str, str], why: str
) -> None:
    assert checkout(**keys) == {
        "needed_by": [] if "dataset" in keys else ["config/fineweb.py"],
        "checked": False,
        "why": why,
    }


def test_the_default_of_the_training_script_counts_where_the_config_is_silent(
    checkout: Act, upstream: Upstream
) -> None:
    upstream.commit("train/train.py", "dataset = 'fineweb10B'\n")
    upstream.commit("train/config/small.py", "lr = 2\n")

    with pytest.raises(Refusal, match=r"which config/small\.py reads"):
        checkout("config/small.py", DOWNLOAD_FINEWEB="0")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dataset = 'fineweb10B'", "fineweb10B"),
        ("dataset: str = 'fineweb10B'\ndataset = \"other\"", "other"),
        ("'''\ndataset = 'fineweb10B'\n'''\nx = 1", ""),
        ("if x:\n    dataset = 'fineweb10B'", ""),
        ("match x:\n  case 1: pass\n  bad syntax\ndataset = 'fineweb10B'  # here", "fineweb10B"),
        ("import os; os.system('touch canary')\ndataset = 'a'", "a"),
        ("dataset = name", ""),
    ],
)
def test_a_config_is_read_and_never_run(
    text: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dataset_of(text, is_python=True) == name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["model: x\ndataset: fineweb10B\n", '{\n "dataset": "fineweb10B"}']
)
def test_other_forms_of_config_are_read_by_their_lines(text: str) -> None:
    assert dataset_of(text, is_python=False) == "fineweb10B"


def test_a_resume_looks_and_downloads_nothing(checkout: Act, shards: Path, hub: Any) -> None:
    checkout()
    (shards / VAL).unlink()

    with pytest.raises(Refusal, match="no whole FineWeb shard to validate on"):
        checkout(verify=True)

    assert hub.served == []
