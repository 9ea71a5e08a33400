"""What decides a training beside its row and commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import recipe
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.rows import Recipe, Row
from tests.support.agent_pod import config_values
from tests.support.sweep_pod import make_row


def recipe_of(folder: Path, capacity: int = 0, *, row: Any = None, **keys: str) -> Recipe:
    """The recipe of `row` on a pod whose config has `keys`."""
    settings = Settings({**config_values(folder / "outputs", folder), **keys})
    dry_run = keys.get("SWEEP_DRY_RUN") == "1"
    own = Row.from_json(make_row("a", **(row or {})))
    return recipe.of_row(recipe.of_campaign(settings, capacity, dry_run), own)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TRAIN_LAUNCHER", "python"),
        ("TRAIN_COMMAND_TEMPLATE", "run $CONFIG"),
        ("TRAIN_ENTRYPOINT", "main.py"),
        ("TRAIN_WORKDIR_REL", "src"),
        ("CHECKOUT_INSTALL_CMD", "pip install -e ."),
        ("CHECKOUT_POST_CMD", "make"),
        ("DATA_DIR", "/data"),
        ("SWEEP_DRY_RUN", "1"),
        ("NPROC_PER_NODE", "2"),
        ("GPUS_PER_RUN", "3"),
    ],
)
def test_a_change_of_each_part_is_told_with_both_values(
    tmp_path: Path, key: str, value: str
) -> None:
    before, now = recipe_of(tmp_path), recipe_of(tmp_path, 0, **{key: value})
    told = recipe.differences(now, before)
    assert told
    assert any(f"now '{value}'" in text for text in told)
    assert recipe.differences(now, now) == []


def test_what_does_not_change_a_training_is_no_part(tmp_path: Path) -> None:
    now = recipe_of(tmp_path, RUN_RETRIES="7", WF_NOTIFY="X", SWEEP_MATCH="a*")
    assert now == recipe_of(tmp_path)


def test_processes_follow_the_gpus_of_the_row_or_the_pod(tmp_path: Path) -> None:
    def parts(*args: Any, **keys: Any) -> tuple[str, str]:
        found = recipe_of(tmp_path, *args, **keys)
        return found["GPUs a row"], found["processes a row"]

    assert parts() == ("0", "1")
    assert parts(8) == ("8", "8")
    assert parts(8, GPUS_PER_RUN="2") == ("2", "2")
    assert parts(8, row={"gpus": 4}, NPROC_PER_NODE="1") == ("4", "1")


def test_versions_are_those_of_the_last_checkout(tmp_path: Path) -> None:
    assert "Python" not in recipe_of(tmp_path)
    record = tmp_path / "outputs" / "_control" / "checkout.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"python": "3.11.4", "torch": {"version": "2.6.0"}}))
    found = recipe_of(tmp_path)
    assert (found["Python"], found["torch"]) == ("3.11.4", "2.6.0")
    record.write_text(json.dumps({"python": "3.12.0", "torch": None}))
    told = recipe.differences(recipe_of(tmp_path), found)
    assert told == ["Python '3.11.4', now '3.12.0'", "torch '2.6.0', now 'none'"]
