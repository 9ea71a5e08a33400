"""`wf keys`: what a key means, without a project and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_wf.flow.extensions import installed
from pytest_wf.wire.trainer import variables


def test_every_key_has_one_line_in_its_group(wf: Any, tmp_path: Path) -> None:
    told = wf("keys", cwd=tmp_path)
    lines = told.out.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    assert names == [key.name for key in installed().config_keys()]
    assert max(len(line) for line in lines) <= 100
    assert "sweep:" in lines


def test_a_key_is_shown_with_an_example_and_what_it_may_refer_to(wf: Any) -> None:
    told = wf("keys", "train_command_template")
    assert told.out.startswith("TRAIN_COMMAND_TEMPLATE\n  meaning  Shell command")
    assert "\n  example  TRAIN_COMMAND_TEMPLATE='launch train.py --output_dir" in told.out
    for text, _ in variables.TERMS:
        assert f"\n    {text} " in told.out


def test_keys_are_one_json_document(wf: Any) -> None:
    (key,) = wf("keys", "--json", "TRAIN_LAUNCHER").document["keys"]
    assert key["type"] == "`torchrun` or `python` or `accelerate`"
    assert (key["default"], key["section"], key["required"]) == ("torchrun", "runs", False)
    assert len(wf("keys", "--json").document["keys"]) == len(installed().config_keys())


def test_a_misspelt_key_is_refused_with_the_nearest(wf: Any) -> None:
    told = wf("keys", "TRAIN_LAUNCHR")
    assert (told.code, told.out) == (4, "")
    assert told.problems == ["TRAIN_LAUNCHR: not a config key. Did you mean TRAIN_LAUNCHER?"]


def test_a_variable_of_a_row_s_command_is_not_a_key_and_its_page_is_named(wf: Any) -> None:
    told = wf("keys", "$RESUME_FROM")
    assert told.code == 4
    assert "run `wf keys TRAIN_COMMAND_TEMPLATE`" in told.problems[0]
