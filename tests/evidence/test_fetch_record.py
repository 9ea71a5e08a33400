"""The commit record of a fetched run: what it says of what was left out."""

from __future__ import annotations

import pytest

from pytest_wf.evidence.fetch_record import (
    CHECKPOINT,
    LeftOut,
    incomplete_runs,
    left_out_text,
    size_text,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_500_000_000, "1.5 GB"),
        (2_500 * 10**12, "2500.0 TB"),
    ],
)
def test_a_size_is_told_in_the_unit_in_which_it_is_short(size: int, text: str) -> None:
    assert size_text(size) == text


def test_only_what_was_left_out_by_policy_is_a_checkpoint() -> None:
    assert LeftOut("ckpt.pt", 1, CHECKPOINT).is_checkpoint
    assert not LeftOut("pipe", 0, "a pipe").is_checkpoint


def test_of_many_things_the_first_ten_are_named_and_all_are_counted() -> None:
    many = [LeftOut(f"{number}.pt", 1000, CHECKPOINT) for number in range(11)]
    assert left_out_text(many[:10]).endswith("9.pt (checkpoint, 1.0 kB)")
    assert left_out_text(many).endswith(" and 1 more (11 in all, 11.0 kB)")


def test_of_a_fetch_each_run_that_is_not_whole_is_told_with_what_it_lacks() -> None:
    left_out = [LeftOut("pipe", 0, "a pipe").as_json(), LeftOut("c", 1, CHECKPOINT).as_json()]
    runs = {
        "one": {"verified": True},
        "two": {"verified": False, "left_out": left_out},
        "three": {},
    }
    assert incomplete_runs({"runs": runs, "problems": {"three": ["it changed"]}}) == [
        "run two is incomplete: pipe (a pipe)",
        "run three is incomplete: it changed",
    ]
    assert incomplete_runs({"runs": None}) == []
