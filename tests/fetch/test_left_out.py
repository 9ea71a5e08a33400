"""What a fetch leaves out is named: checkpoints by policy, and what cannot be carried."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.config.keys import KEYS
from pytest_wf.evidence.fetch_record import CHECKPOINT, LeftOut, left_out_text
from pytest_wf.fetch.checkpoints import Checkpoints
from pytest_wf.fetch.fetch import FetchOptions, RunFetched, fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values

CAMPAIGN = "c-20260102T030405Z-abcdef"
PATTERNS = next(key.default for key in KEYS if key.name == "CHECKPOINT_PATTERNS").split()

Bring = Callable[..., RunFetched]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The directory of run a on a pod."""
    folder = tmp_path / "pod" / "outputs" / "a"
    (folder / "out").mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    return folder


@pytest.fixture
def bring(run_dir: Path, tmp_path: Path) -> Iterator[Bring]:
    """Fetches run a from a real agent to `here`."""
    connection = LocalConnection(Target("local", "local"))
    client = AgentClient(connection, config_values(run_dir.parent, tmp_path / "pod"))

    def fetch(**more: Any) -> RunFetched:
        known: dict[str, Any] = {"checkpoint_patterns": PATTERNS, **more}
        options = FetchOptions(tmp_path / "here", known.pop("campaign", CAMPAIGN), **known)
        return fetch_runs(client, ["a"], options).runs["a"]

    yield fetch
    client.close()
    connection.close()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where run a is fetched to."""
    return tmp_path / "here" / "a"


def write(path: Path, data: bytes = b"data") -> Path:
    """A file, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("path", "checkpoint"),
    [
        ("out/ckpt.pt", "out/ckpt.pt"),
        ("out/ckpt_000500.pt", "out/ckpt_000500.pt"),
        ("out/lightning/last.ckpt", "out/lightning/last.ckpt"),
        ("out/checkpoint-500/model.safetensors", "out/checkpoint-500/"),
        ("out/checkpoints/a/b", "out/checkpoints/"),
        ("out/state_step000010.pt", "out/state_step000010.pt"),
        ("out/dist/__0_0.distcp", "out/dist/__0_0.distcp"),
        ("out/checkpoint-500", ""),
        ("out/ckpt.pt.log", ""),
        ("out/model.pt", ""),
        ("summary.json", ""),
    ],
)
def test_a_pattern_matches_a_base_name_at_any_depth_or_a_folder(path: str, checkpoint: str) -> None:
    assert Checkpoints(PATTERNS).of(path) == checkpoint


def test_without_patterns_nothing_is_a_checkpoint() -> None:
    assert Checkpoints(()).of("out/ckpt.pt") == ""


def test_checkpoints_that_are_left_out_are_named_with_their_bytes_and_the_run_is_whole(
    run_dir: Path, bring: Bring, here: Path
) -> None:
    write(run_dir / "out" / "ckpt.pt", b"w" * 1000)
    write(run_dir / "out" / "checkpoint-5" / "model.bin", b"w" * 2000)
    write(run_dir / "out" / "checkpoint-5" / "optimizer.bin", b"w" * 500)
    run = bring()
    expected = [("out/checkpoint-5/", 2500, CHECKPOINT), ("out/ckpt.pt", 1000, CHECKPOINT)]
    assert run.verified
    assert list(run.left_out) == [LeftOut(*one) for one in expected]
    record = json.loads((here / "FETCHED.json").read_text())
    assert record["whole"] is True
    assert [LeftOut.from_json(one) for one in record["left_out"]] == list(run.left_out)
    assert not (here / "out" / "ckpt.pt").exists()


def test_checkpoints_that_are_here_stay_when_a_later_fetch_does_not_ask_for_them(
    run_dir: Path, bring: Bring, here: Path
) -> None:
    write(run_dir / "out" / "ckpt.pt")
    assert bring(checkpoints=True).left_out == ()
    write(run_dir / "later.txt")
    assert bring().left_out == ()
    assert (here / "out" / "ckpt.pt").read_bytes() == b"data"
    assert (here / "later.txt").exists()


def test_a_link_follows_its_checkpoint(run_dir: Path, bring: Bring, here: Path) -> None:
    write(run_dir / "out" / "checkpoint-5" / "model.bin")
    (run_dir / "out" / "latest").symlink_to("checkpoint-5")
    (run_dir / "out" / "best.bin").symlink_to("checkpoint-5/model.bin")
    run = bring()
    assert run.verified
    assert {one.path for one in run.left_out} == {
        "out/checkpoint-5/",
        "out/latest",
        "out/best.bin",
    }
    assert bring(checkpoints=True).left_out == ()
    assert os.readlink(here / "out" / "latest") == "checkpoint-5"
    assert (here / "out" / "best.bin").read_bytes() == b"data"


def test_of_a_great_many_the_first_are_named_and_all_are_counted() -> None:
    many = [LeftOut(f"ckpt{n:04}.pt", 1_000_000, CHECKPOINT) for n in range(5000)]
    text = left_out_text(many)
    assert text.startswith("ckpt0000.pt (checkpoint, 1.0 MB), ckpt0001.pt")
    assert text.endswith("and 4990 more (5000 in all, 5.0 GB)")
    assert len(text) < 500


def test_a_run_that_this_campaign_adopted_and_that_is_here_is_not_copied_again(
    run_dir: Path, bring: Bring, here: Path
) -> None:
    bring(campaign="c-first")
    before = (here / "FETCHED.json").stat().st_mtime_ns
    run = bring(campaign="c-second", adopted={"a": "c-first"})
    assert run.verified
    assert (here / "FETCHED.json").stat().st_mtime_ns == before
    assert os.listdir(here.parent) == ["a"]
    assert verified_runs(here.parent, "c-second", adopted={"a": "c-first"}) == {"a"}
    assert verified_runs(here.parent, "c-second") == set()
