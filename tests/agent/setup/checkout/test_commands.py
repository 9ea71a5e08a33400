"""The user's commands of P50: their folder, their environment, and their failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.own_pip import put_pip
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]


def test_what_a_command_fetched_is_not_told_as_missing(
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    upstream.commit("w.bin", pointer)
    upstream.commit(".gitmodules", '[submodule "x"]\n\tpath = libs/x\n\turl = ../x\n')
    checkout()
    put_pip(settings)

    fetch = "mkdir -p libs/x; touch libs/x/code.py; git update-index --skip-worktree w.bin"
    result = checkout(CHECKOUT_POST_CMD=f"{fetch}; echo weights > w.bin")

    assert (result["lfs"], result["empty_submodules"]) == ([], [])


def test_the_users_commands_run_in_the_repository_with_the_venv_first(
    checkout: Act, settings: Settings, repo: Path
) -> None:
    checkout()
    put_pip(settings)

    result = checkout(
        CHECKOUT_INSTALL_CMD='command -v python > seen; echo "$VENV_PYTHON" >> seen; pwd >> seen',
        CHECKOUT_POST_CMD="cat seen && echo $((1 + 1)) > post",
    )

    python = f"{settings.repo}/.venv/bin/python"
    seen = (repo / "seen").read_text().splitlines()
    assert seen == [python, python, settings.repo]
    assert (repo / "post").read_text() == "2\n"
    assert result["installed"] is True


@pytest.mark.parametrize("key", ["CHECKOUT_INSTALL_CMD", "CHECKOUT_POST_CMD"])
def test_a_pipeline_fails_where_any_of_its_parts_does(
    checkout: Act, settings: Settings, key: str
) -> None:
    checkout()
    put_pip(settings)

    with pytest.raises(Refusal, match=f"{key}: exit status 3"):
        checkout(**{key: "(exit 3) | tee log"})
    checkout(**{key: "false; true"})


def test_a_pipeline_whose_end_is_gone_says_so(checkout: Act, settings: Settings) -> None:
    checkout()
    put_pip(settings)

    with pytest.raises(Refusal, match=r"exit status 141 .SIGPIPE: a part of a pipeline"):
        checkout(CHECKOUT_INSTALL_CMD="yes | head -1")


@pytest.mark.parametrize(
    ("key", "kind"), [("CHECKOUT_INSTALL_CMD", "install"), ("CHECKOUT_POST_CMD", "post-command")]
)
def test_a_failing_command_stops_it_with_its_last_words(
    checkout: Act, settings: Settings, key: str, kind: str
) -> None:
    checkout()
    put_pip(settings)
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")

    with pytest.raises(Refusal, match=f"{key}: exit status 3: no such wheel") as refused:
        checkout(**{key: "echo no such wheel; exit 3"})

    assert refused.value.kind == kind
    assert refused.value.facts["log_tail"] == ["no such wheel"]
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED
