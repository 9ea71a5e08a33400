"""A resume looks at the checkout, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]


def test_resume_only_looks(checkout: Act, upstream: Upstream, settings: Settings) -> None:
    left = checkout()
    del left["packages"]  # told once; a resume has their digest
    upstream.commit("train.py", "print('later')\n")
    state.reset(settings, fsm.SWEEP_RUNNING, "for the test")

    found = checkout({"verify": True, "expect_sha": left["git_sha"]})

    assert found["verified_only"]
    assert {**found, "verified_only": False} == left
    assert state.read_state(settings).state == fsm.SWEEP_RUNNING


def test_a_resume_learns_which_commit_the_config_asks_for_now(
    checkout: Act, upstream: Upstream
) -> None:
    look = {"verify": True, "expect_sha": checkout()["git_sha"], "resolve": True}
    later = upstream.commit("train.py", "print('later')\n")

    assert checkout(look)["asked_sha"] == later
    upstream.path.rename(upstream.path.with_name("gone"))
    told = checkout(look)
    assert "asked_sha" not in told
    assert "cannot be read from the pod" in told["asked_why"]


def test_resume_stops_at_another_commit_or_a_modified_file(checkout: Act, repo: Path) -> None:
    with pytest.raises(Refusal, match="there is no checkout"):
        checkout({"verify": True})
    sha = checkout()["git_sha"]

    with pytest.raises(Refusal) as refused:
        checkout({"verify": True, "expect_sha": "ab" * 20})
    assert refused.value.facts == {"expected": "ab" * 20, "found": sha}

    (repo / "train.py").write_text("mine")
    with pytest.raises(Refusal, match=r"train\.py"):
        checkout({"verify": True, "expect_sha": sha})
