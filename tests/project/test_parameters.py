"""The parameters of rows, read from all spellings of overrides."""

from __future__ import annotations

import math
import shlex
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.project import parameters
from pytest_wf.project.parameters import (
    Value,
    differing,
    is_seed,
    parameters_of,
    parse,
    shown,
    typed,
)


@pytest.mark.parametrize(
    "spelling",
    ["lr=0.1", "--lr=0.1", "--lr 0.1", "-lr 0.1", "lr 0.1", "+lr=0.1", "++lr=.1", "lr=1e-1"],
)
def test_every_spelling_gives_one_name_and_one_value(spelling: str) -> None:
    assert parse(spelling) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ("", {}),
        ("--flag", {"flag": True}),
        ("--no-flag", {"flag": False}),
        ("~trainer.logger", {"trainer.logger": False}),
        ("--flag lr=0.1", {"flag": True, "lr": 0.1}),
        ("--flag --depth 12", {"flag": True, "depth": 12}),
        ("--learning-rate 3", {"learning_rate": 3}),
        ("optimizer.lr=1e-3", {"optimizer.lr": 1e-3}),
        ("--offset -0.5 --x", {"offset": -0.5, "x": True}),
        ("--layers 1 2 3", {"layers": "1 2 3"}),
        ("lr 0.1 wd 0.2", {"lr": 0.1, "wd": 0.2}),
        ("lr=1 lr=2", {"lr": 2}),
        ("--name 'two words'", {"name": "two words"}),
        ("--text=a=b", {"text": "a=b"}),
        ("x= y=", {"x": "", "y": ""}),
        ("config/train.py --n=1", {"arguments": "config/train.py", "n": 1}),
        ("debug", {"arguments": "debug"}),
        ("-- 3", {"arguments": "-- 3"}),
        ("--a='unclosed", {"a": "'unclosed"}),
    ],
)
def test_overrides_are_read_into_names_and_values(overrides: str, found: dict[str, Value]) -> None:
    assert parse(overrides) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("1_000", "1_000"),
        ("007", "007"),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("1e999", "1e999"),
        ("nan", "nan"),
        ("True", True),
        ("false", False),
        ("none", "none"),
        ("[1,2]", "[1,2]"),
        ("1.2.3", "1.2.3"),
        ("9" * 30, 1e30),
    ],
)
def test_a_value_has_the_type_that_it_looks_like(text: str, value: Value) -> None:
    found = typed(text)
    assert (found, type(found)) == (value, type(value))


def test_config_and_seed_are_parameters_and_an_override_of_that_name_is_another() -> None:
    assert parameters_of("a.yaml", 3, "lr=1 seed=4") == {
        "config": "a.yaml",
        "seed": 3,
        "lr": 1,
        "override.seed": 4,
    }
    assert parameters_of("", None, "") == {}
    assert parameters_of("a.yaml", None, "config=1 override.config=2") == {
        "config": "a.yaml",
        "override.override.config": 1,
        "override.config": 2,
    }


def test_an_override_named_arguments_is_kept_beside_words_without_a_name() -> None:
    assert parse("arguments=5 words") == {"override.arguments": 5, "arguments": "words"}
    assert parse("arguments=5") == {"arguments": 5}


@pytest.mark.parametrize("word", ["w", "-1", "--x", "a=1", "x.y[0]"])
def test_each_of_many_words_is_looked_at_a_few_times(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_plain = Mock(wraps=parameters._is_plain)
    monkeypatch.setattr(parameters, "_is_plain", is_plain)
    parse([word] * 300)
    assert is_plain.call_count <= 600


def test_only_what_differs_is_named_in_the_order_of_its_coming() -> None:
    rows = [parameters_of("c", seed, f"lr={lr} wd=1") for seed, lr in ((1, 1), (1, 1.0), (2, 1))]
    assert differing(rows) == ["seed"]
    assert differing([{"x": True}, {"x": 1}]) == ["x"]
    assert differing([{"x": 1}, {"x": 1, "y": 2}]) == ["y"]
    assert differing([{"x": 1}]) == []
    assert differing([]) == []


def test_a_value_is_shown_as_it_would_be_written() -> None:
    assert [shown(v) for v in (None, True, 3, 1e-3, 0.1, "x")] == [
        "",
        "true",
        "3",
        "0.001",
        "0.1",
        "x",
    ]


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_words_are_read_and_none_is_lost(words: list[str]) -> None:
    found = parse(words)
    assert all(not isinstance(v, float) or math.isfinite(v) for v in found.values())
    assert bool(found) == bool(words)
    assert parse(shlex.join(words)) == found


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("seed", True),
        ("override.seed", True),
        ("random_seed", True),
        ("seed_everything", True),
        ("trainer.random_state", True),
        ("seeds_per_batch", False),
        ("seed.size", False),
        ("reseed", False),
        ("lr", False),
    ],
)
def test_a_seed_is_known_by_its_name(name: str, known: bool) -> None:
    assert is_seed(name) is known
