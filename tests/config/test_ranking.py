"""The order of a sweep's rows by one metric."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.config.ranking import Rule, goal_of, guess, parse, rank
from pytest_wf.config.types import BadValue
from pytest_wf.wire.rows import Extremes, RowStatus


def row(run_id: str, ok: bool | None = True, **metrics: Any) -> RowStatus:
    state = {True: "success", False: "failed", None: "running"}[ok]
    return RowStatus(run_id, state, ok=ok, metrics=metrics)


@pytest.mark.parametrize(
    ("text", "metric", "goal"),
    [
        ("val_loss", "val_loss", "minimize"),
        (" min( val_loss ) ", "min(val_loss)", "minimize"),
        ("max(tokens_per_s)", "max(tokens_per_s)", "maximize"),
        ("last(accuracy)", "accuracy", "maximize"),
        ("maximize min(accuracy)", "min(accuracy)", "maximize"),
        ("minimize seconds", "seconds", "minimize"),
    ],
)
def test_a_rule_is_a_metric_with_a_goal(text: str, metric: str, goal: str) -> None:
    assert parse(text) == Rule(metric, goal)


def test_a_metric_whose_name_says_no_goal_needs_one() -> None:
    with pytest.raises(BadValue, match="Write 'minimize speed' or 'maximize speed'"):
        parse("speed")
    assert parse(" ") is None


@pytest.mark.parametrize("text", ["-loss", "a b", "min(loss", "loss<3", "median(loss)", "loss;acc"])
def test_what_is_no_metric_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadValue, match=r"min\(val_loss\)"):
        parse(text)


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("val/loss", "minimize"),
        ("valloss", "minimize"),
        ("validLossTotal", "minimize"),
        ("eval_perplexity", "minimize"),
        ("top1_error", "minimize"),
        ("reward_loss", "minimize"),
        ("loss_score", "maximize"),
        ("Accuracy", "maximize"),
        ("acc@5", "maximize"),
        ("macro_F1", "maximize"),
        ("rouge2", "maximize"),
        ("mAP50", "maximize"),
        ("mean_episode_reward", "maximize"),
        ("loss_scale", None),
        ("f", None),
        ("step", None),
        ("grad_norm", None),
        ("glossary", None),
    ],
)
def test_a_name_says_which_way_is_better(name: str, goal: str | None) -> None:
    assert goal_of(name) == goal


@pytest.mark.parametrize(
    ("reported", "best"),
    [
        (["train_loss", "loss", "val_loss"], "val_loss"),
        (["train_loss", "val_accuracy"], "val_accuracy"),
        (["val_accuracy", "val_loss"], "val_loss"),
        (["test_loss", "eval_loss"], "eval_loss"),
        (["train/loss", "loss"], "loss"),
        (["lr", "step", "train_acc"], "train_acc"),
        (["lr", "step"], None),
    ],
)
def test_validation_comes_before_training_and_a_loss_before_a_score(
    reported: list[str], best: str | None
) -> None:
    rule = guess([dict.fromkeys(reported, 1.0)])
    assert (rule.metric if rule else None) == best


def test_what_few_rows_reported_is_not_guessed() -> None:
    found = guess([{"val_loss": 1.0, "loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}])
    assert found == Rule("loss", "minimize")


def test_a_metric_that_never_ended_finite_is_guessed_last_and_named_in_the_reason() -> None:
    found = rank([row("a", val_loss="nan"), row("b", val_loss=math.inf)])
    assert (found.best, found.reason) == (None, "No row that is ok ended with a finite val_loss.")
    assert guess([{"val_loss": "nan", "loss": 1.0}]) == Rule("loss", "minimize")


def test_the_least_loss_is_best_and_a_guess_is_said() -> None:
    found = rank([row("a", val_loss=3.0), row("b", val_loss=2.0), row("c", val_loss=4.0)])
    assert found.order == ("b", "a", "c")
    assert found.ranks == {"b": 1, "a": 2, "c": 3}
    assert found.as_json() == {
        "run_id": "b",
        "metric": "val_loss",
        "goal": "minimize",
        "value": 2.0,
        "guessed": True,
    }
    assert "chosen by name" in found.words


def test_a_rule_of_the_config_is_no_guess() -> None:
    found = rank([row("a", speed=3), row("b", speed=4)], "maximize speed")
    assert (found.best, found.guessed, found.words) == ("b", False, "highest final speed")


@pytest.mark.parametrize(
    "other",
    [
        row("x", ok=False, loss=0.1),
        row("x", ok=None, loss=0.1),
        row("x", loss=math.nan),
        row("x", loss="nan"),
        row("x", loss=-math.inf),
        row("x", loss=True),
        row("x", other=0.1),
        RowStatus("x", "failed", ok=False, failure_class="expect", metrics={"loss": 0.1}),
        RowStatus("x", "not_selected"),
        RowStatus("x", "dry_run", metrics={"loss": 0.1}),
    ],
)
def test_only_a_row_that_is_ok_with_a_finite_value_is_ranked(other: RowStatus) -> None:
    found = rank([other, row("a", loss=2.0)], "loss")
    assert (found.best, dict(found.ranks), found.order) == ("a", {"a": 1}, ("a", "x"))


def test_a_row_that_ended_as_nan_is_not_best_by_its_least_value() -> None:
    diverged = row("x", loss="nan")._replace(extremes={"loss": Extremes(9, 0.1, 3, 5.0, 1)})
    good = row("a", loss=2.0)._replace(extremes={"loss": Extremes(9, 1.5, 3, 5.0, 1)})
    assert dict(rank([diverged, good], "min(loss)").values) == {"a": 1.5}


def test_equal_values_share_a_rank_and_keep_their_order() -> None:
    found = rank([row("b", loss=1), row("z", loss=2), row("a", loss=1.0)])
    assert found.order == ("b", "a", "z")
    assert found.ranks == {"b": 1, "a": 1, "z": 3}


@pytest.mark.parametrize(
    ("rows", "rank_by", "why"),
    [
        ([], "", "There are no rows."),
        ([row("a", ok=False, loss=1)], "", "No row is ok."),
        ([row("a", lr=1)], "", "No metric of the rows says by its name what is better"),
        ([row("a", loss="nan")], "loss", "No row that is ok ended with a finite loss."),
        ([row("a", loss=1)], "min(accuracy)", "No row that is ok ended with a finite accuracy."),
        ([row("a", loss=1)], "speed", "whether a low or a high speed is better is not known"),
    ],
)
def test_nothing_to_compare_has_a_reason(rows: list[RowStatus], rank_by: str, why: str) -> None:
    found = rank(rows, rank_by)
    assert (found.best, found.as_json(), found.words) == (None, None, "")
    assert why in found.reason


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats()), max_size=12))
def test_every_row_is_in_the_order_once_and_no_better_one_comes_later(
    given_rows: list[tuple[bool | None, float]],
) -> None:
    rows = [row(f"r{n}", ok, acc=value) for n, (ok, value) in enumerate(given_rows)]
    found = rank(rows, "acc")
    assert sorted(found.order) == sorted(r.run_id for r in rows)
    ranked = [found.values[run_id] for run_id in found.order if run_id in found.ranks]
    assert ranked == sorted(ranked, reverse=True)
    assert len(ranked) == sum(ok is True and math.isfinite(v) for ok, v in given_rows)
