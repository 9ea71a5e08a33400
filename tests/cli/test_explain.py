"""`wf explain`: every code, kind and failure class has its meaning, without a project."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pytest_wf.cli.main import app
from pytest_wf.court.explanations import FAILURES, ROWS
from pytest_wf.wire.failures import CLASSES, EXPECT, KINDS, code_of


def explained(*words: str) -> str:
    done = CliRunner().invoke(app, ["explain", *words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_and_its_code_in_each_family_have_a_cause_and_a_remedy(kind: str) -> None:
    for family in range(1, 6):
        text = explained(str(code_of(kind, family)))
        assert f" {kind}: {FAILURES[kind].cause}." in text
        assert f"to do: {FAILURES[kind].remedy}." in text
    assert FAILURES[kind].cause in explained(kind)


def test_every_failure_class_of_a_row_is_explained() -> None:
    assert set(ROWS) == {*CLASSES, EXPECT}
    for name in ROWS:
        assert f"row {name}: {ROWS[name].cause}." in explained(name)


def test_a_code_is_taken_as_the_terminal_shows_it() -> None:
    assert explained("WF-315") == explained("315")
    assert explained("315").startswith("315 torch: ")
    assert explained("82").startswith("x82 lease-held: ")


def test_a_name_of_both_is_explained_as_both() -> None:
    assert [line for line in explained("timeout").splitlines() if not line.startswith(" ")] == [
        f"x95 timeout: {FAILURES['timeout'].cause}.",
        f"row timeout: {ROWS['timeout'].cause}.",
    ]


def test_json_has_the_same() -> None:
    (entry,) = json.loads(explained("315", "--json"))
    assert (entry["name"], entry["cause"]) == ("315 torch", FAILURES["torch"].cause)
    assert entry["next"] == "the same flow again"


@pytest.mark.parametrize(("word", "near"), [("torhc", "torch"), ("999", "WF-"), ("ooom", "oom")])
def test_a_word_that_is_none_of_them_is_a_mistake(word: str, near: str) -> None:
    done = CliRunner().invoke(app, ["explain", word])
    assert done.exit_code == 4
    assert word in done.output
    assert near in done.output
