"""What a fetch leaves out is named: checkpoints by policy, and what cannot be carried."""

from __future__ import annotations

import json
import os

import pytest

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.evidence.fetch_record import CHECKPOINT, LeftOut, left_out_text
from pytest_wf.fetch.local_runs import verified_runs
from tests.support.run_on_pod import PATTERNS, RunOnPod


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
    run: RunOnPod,
) -> None:
    run.write("ckpt.pt", b"w" * 1000)
    run.write("checkpoint-5/model.bin", b"w" * 2000)
    run.write("checkpoint-5/optimizer.bin", b"w" * 500)
    fetched = run.bring()
    expected = [("out/checkpoint-5/", 2500, CHECKPOINT), ("out/ckpt.pt", 1000, CHECKPOINT)]
    assert fetched.verified
    assert list(fetched.left_out) == [LeftOut(*one) for one in expected]
    record = json.loads((run.here / "FETCHED.json").read_text())
    assert record["whole"] is True
    assert [LeftOut.from_json(one) for one in record["left_out"]] == list(fetched.left_out)
    assert not (run.here / "out" / "ckpt.pt").exists()


def test_checkpoints_that_are_here_stay_when_a_later_fetch_does_not_ask_for_them(
    run: RunOnPod,
) -> None:
    run.write("ckpt.pt")
    assert run.bring(checkpoints=True).left_out == ()
    run.write("later.txt")
    assert run.bring().left_out == ()
    assert (run.here / "out" / "ckpt.pt").read_bytes() == b"data"
    assert (run.here / "out" / "later.txt").exists()


def test_a_link_follows_its_checkpoint(run: RunOnPod) -> None:
    run.write("checkpoint-5/model.bin")
    (run.out / "latest").symlink_to("checkpoint-5")
    (run.out / "best.bin").symlink_to("checkpoint-5/model.bin")
    fetched = run.bring()
    assert fetched.verified
    left_out = {one.path for one in fetched.left_out}
    assert left_out == {"out/checkpoint-5/", "out/latest", "out/best.bin"}
    assert run.bring(checkpoints=True).left_out == ()
    assert os.readlink(run.here / "out" / "latest") == "checkpoint-5"
    assert (run.here / "out" / "best.bin").read_bytes() == b"data"


def test_of_a_great_many_the_first_are_named_and_all_are_counted() -> None:
    many = [LeftOut(f"ckpt{n:04}.pt", 1_000_000, CHECKPOINT) for n in range(5000)]
    text = left_out_text(many)
    assert text.startswith("ckpt0000.pt (checkpoint, 1.0 MB), ckpt0001.pt")
    assert text.endswith("and 4990 more (5000 in all, 5.0 GB)")
    assert len(text) < 500
    assert left_out_text(many[:50], 5000, 5_000_000_000) == text


def test_a_run_that_this_campaign_adopted_and_that_is_here_is_not_copied_again(
    run: RunOnPod,
) -> None:
    run.bring(campaign_id="c-first")
    before = (run.here / "FETCHED.json").stat().st_mtime_ns
    adopted = {"a": "c-first"}
    assert run.bring(campaign_id="c-second", adopted=adopted).verified
    assert (run.here / "FETCHED.json").stat().st_mtime_ns == before
    dest = run.here.parent
    assert os.listdir(dest) == ["a"]
    assert verified_runs(dest, "c-second", adopted=adopted, digests=True) == {"a"}
    assert verified_runs(dest, "c-second") == set()


def test_an_incomplete_run_that_has_not_changed_is_not_copied_again(run: RunOnPod) -> None:
    (run.out / "away").symlink_to("/etc/passwd")
    first = run.bring()
    assert [one.path for one in first.missing] == ["out/away"]
    before = (run.here / "FETCHED.json").stat().st_mtime_ns
    assert run.bring() == first
    assert (run.here / "FETCHED.json").stat().st_mtime_ns == before
