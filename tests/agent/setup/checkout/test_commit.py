"""P50: the commit that the config asks for is checked out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream, head_of

Act = Callable[..., dict[str, Any]]


def test_by_default_the_remotes_head_is_checked_out(
    checkout: Act, upstream: Upstream, settings: Settings, repo: Path
) -> None:
    result = checkout()

    assert result["git_sha"] == upstream.head == head_of(repo)
    assert result["remote"] == str(upstream.path)
    assert result["dirty"] == result["submodules"] == result["lfs"] == []
    assert state.read_state(settings).state == fsm.CHECKED_OUT


def test_a_second_checkout_brings_the_news(checkout: Act, upstream: Upstream) -> None:
    before = checkout()["git_sha"]

    after = upstream.commit("train.py", "print('better')\n")

    assert checkout()["git_sha"] == after != before


def test_a_branch_is_checked_out(checkout: Act, upstream: Upstream) -> None:
    upstream.git("checkout", "-q", "-b", "feature/x")
    wanted = upstream.commit("extra.py", "")
    upstream.git("checkout", "-q", "main")

    result = checkout(CHECKOUT_BRANCH="feature/x")

    assert (result["git_sha"], result["branch"]) == (wanted, "feature/x")


@pytest.mark.fault("F6")
def test_a_branch_named_like_an_option_or_a_commit_is_only_a_name(
    checkout: Act, upstream: Upstream
) -> None:
    first = upstream.head
    wanted = upstream.commit("new.py", "")
    upstream.git("update-ref", f"refs/heads/{first}", wanted)

    assert checkout(CHECKOUT_BRANCH=first)["git_sha"] == wanted


@pytest.mark.parametrize("ref", ["refs/pull/12/head", "refs/merge-requests/12/head"])
def test_a_change_request_is_checked_out(checkout: Act, upstream: Upstream, ref: str) -> None:
    first = upstream.head
    wanted = upstream.commit("change.py", "")
    upstream.git("update-ref", ref, wanted)
    upstream.git("reset", "-q", "--hard", first)

    assert checkout(CHECKOUT_PR="12")["git_sha"] == wanted


@pytest.mark.parametrize(
    "keys", [{"CHECKOUT_BRANCH": "absent"}, {"CHECKOUT_PR": "99"}], ids=["branch", "change"]
)
def test_what_the_remote_does_not_have_is_named(checkout: Act, keys: dict[str, str]) -> None:
    with pytest.raises(Refusal, match=r"has no (branch 'absent'|change request 99)") as refused:
        checkout(**keys)

    assert refused.value.kind == "clone"


def test_a_pinned_commit_is_checked_out_detached(
    checkout: Act, upstream: Upstream, repo: Path
) -> None:
    wanted = upstream.head
    upstream.commit("train.py", "print('later')\n")

    assert checkout(EXPECT_GIT_SHA=wanted.upper())["git_sha"] == wanted == head_of(repo)
    assert not (repo / ".git" / "HEAD").read_text().startswith("ref:")


@pytest.mark.fault("F4")
def test_a_pinned_commit_that_is_here_needs_no_remote(checkout: Act, upstream: Upstream) -> None:
    wanted = checkout()["git_sha"]
    upstream.path.rename(upstream.path.with_name("gone"))

    assert checkout(EXPECT_GIT_SHA=wanted)["git_sha"] == wanted
    with pytest.raises(Refusal, match="cannot be read from the pod"):
        checkout()


@pytest.mark.fault("F6")
def test_a_commit_that_is_nowhere_is_the_wrong_one(checkout: Act, upstream: Upstream) -> None:
    absent = "ab" * 20

    with pytest.raises(Refusal) as refused:
        checkout(CHECKOUT_BRANCH="main", EXPECT_GIT_SHA=absent)

    assert refused.value.kind == "wrong-sha"
    assert refused.value.facts == {"expected": absent, "found": upstream.head}


@pytest.mark.fault("F4")
def test_a_remote_that_is_not_there_is_told_with_the_way_out(checkout: Act, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="absent cannot be read from the pod") as refused:
        checkout(REPO_URL=str(tmp_path / "absent"))

    assert "CHECKOUT_VIA=bundle" in refused.value.remedy


@pytest.mark.fault("F5")
def test_submodules_and_lfs_pointers_are_told(checkout: Act, upstream: Upstream) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    upstream.commit("weights dir/w.bin", pointer)
    upstream.commit(".gitmodules", '[submodule "x"]\n\tpath = libs/x\n\turl = ../x\n')

    result = checkout()

    assert result["lfs"] == ["weights dir/w.bin"]
    assert result["submodules"] == result["empty_submodules"] == ["libs/x"]


def test_sha256_repositories_are_cloned_too(checkout: Act, tmp_path: Path) -> None:
    path = tmp_path / "sha256"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(path)], check=True)
    (path / "a").touch()
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(path), "add", "a"], check=True)
    subprocess.run(["git", "-C", str(path), *identity, "commit", "-q", "-m", "a"], check=True)

    assert len(checkout(REPO_URL=str(path))["git_sha"]) == 64


def test_it_is_refused_while_a_sweep_runs(checkout: Act, settings: Settings) -> None:
    state.reset(settings, fsm.SWEEP_RUNNING, "for the test")

    with pytest.raises(Refusal, match="the pod is in SWEEP_RUNNING"):
        checkout()
