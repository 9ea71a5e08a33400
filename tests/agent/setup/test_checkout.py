"""P50: the right commit, nothing of the user's lost, no credential left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import created_paths, state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.remotes import remote
from tests.support.own_pip import put_pip
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _bootstrapped(settings: Settings) -> None:
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")


def head(settings: Settings) -> str:
    done = subprocess.run(
        ["git", "-C", settings.repo, "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_by_default_the_remotes_head_is_checked_out(
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    result = checkout()

    assert result["git_sha"] == upstream.head == head(settings)
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
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    wanted = upstream.head
    upstream.commit("train.py", "print('later')\n")

    assert checkout(EXPECT_GIT_SHA=wanted.upper())["git_sha"] == wanted == head(settings)
    assert not (Path(settings.repo) / ".git" / "HEAD").read_text().startswith("ref:")


@pytest.mark.fault("F4")
def test_a_pinned_commit_that_is_here_needs_no_remote(
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
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


@pytest.mark.fault("F5")
def test_tracked_modifications_stop_it_and_are_listed(
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    for number in range(30):
        upstream.commit(f"f{number:02}.py", "")
    checkout()
    for number in range(25):
        (Path(settings.repo) / f"f{number:02}.py").write_text("mine")

    with pytest.raises(Refusal, match=r"25 tracked files.*and 5 more") as refused:
        checkout()

    assert refused.value.kind == "dirty-checkout"
    assert refused.value.facts["modified"] == [f"f{n:02}.py" for n in range(20)]
    assert (Path(settings.repo) / "f00.py").read_text() == "mine"


def test_forcing_throws_tracked_changes_away_and_keeps_untracked_files(
    checkout: Act, settings: Settings
) -> None:
    checkout()
    (Path(settings.repo) / "train.py").write_text("mine")
    (Path(settings.repo) / "notes.txt").write_text("keep me")

    result = checkout(CHECKOUT_FORCE_CLEAN="1")

    assert result["dirty"] == []
    assert (Path(settings.repo) / "train.py").read_text() == "print('training')\n"
    assert (Path(settings.repo) / "notes.txt").read_text() == "keep me"


def test_forcing_throws_nothing_away_in_a_clone_of_somebody_else(
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    subprocess.run(["git", "clone", "-q", upstream.path, settings.repo], check=True)
    assert checkout()["git_sha"] == upstream.head, "a clean one is used as it is"
    (Path(settings.repo) / "train.py").write_text("mine")

    with pytest.raises(Refusal, match="pytest-wf did not make it") as refused:
        checkout(CHECKOUT_FORCE_CLEAN="1")

    assert "point OPS_REMOTE_REPO elsewhere" in refused.value.remedy
    assert (Path(settings.repo) / "train.py").read_text() == "mine"


@pytest.mark.fault("F5")
@pytest.mark.parametrize("is_ignored", [False, True])
def test_an_untracked_file_in_the_way_stops_it_and_stays(
    checkout: Act, upstream: Upstream, settings: Settings, is_ignored: bool
) -> None:
    checkout()
    (Path(settings.repo) / "new.py").write_text("mine")
    if is_ignored:
        (Path(settings.repo) / ".git" / "info" / "exclude").write_text("new.py\n")
    upstream.commit("new.py", "theirs")

    with pytest.raises(Refusal, match="cannot be checked out"):
        checkout()

    assert (Path(settings.repo) / "new.py").read_text() == "mine"


def test_a_directory_that_is_no_clone_is_left_alone(checkout: Act, settings: Settings) -> None:
    other = Path(settings.repo) / "thesis.tex"
    other.parent.mkdir(parents=True)
    other.write_text("years of work")

    with pytest.raises(Refusal, match="a directory with other files") as refused:
        checkout()

    assert refused.value.kind == "clone"
    assert os.listdir(settings.repo) == ["thesis.tex"]


def test_a_clone_of_something_else_is_left_alone(
    checkout: Act, settings: Settings, tmp_path: Path
) -> None:
    checkout()

    with pytest.raises(Refusal, match="holds /"):
        checkout(REPO_URL=str(tmp_path / "another"))


def test_a_checkout_that_was_cut_short_is_gone_on_with(
    checkout: Act, settings: Settings, upstream: Upstream
) -> None:
    created_paths.directory(settings, settings.repo)
    subprocess.run(["git", "init", "-q", settings.repo], check=True)
    (Path(settings.repo) / ".git" / "wf-venv-unfinished").touch()
    (Path(settings.repo) / ".venv" / "bin").mkdir(parents=True)
    (Path(settings.repo) / ".venv" / "pyvenv.cfg").touch()

    result = checkout()

    assert result["git_sha"] == upstream.head
    subprocess.run([result["venv_python"], "-c", ""], check=True)


def test_a_repository_without_commits_that_no_checkout_made_is_left_as_it_is(
    checkout: Act, settings: Settings
) -> None:
    subprocess.run(["git", "init", "-q", settings.repo], check=True)
    config = Path(settings.repo, ".git", "config")
    before = config.read_bytes()
    with pytest.raises(Refusal, match="no origin"):
        checkout()
    assert config.read_bytes() == before


@pytest.mark.fault("F4")
def test_a_remote_that_is_not_there_is_told_with_the_way_out(checkout: Act, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="absent cannot be read from the pod") as refused:
        checkout(REPO_URL=str(tmp_path / "absent"))

    assert "CHECKOUT_VIA=bundle" in refused.value.remedy


def test_no_command_hides_in_a_url(checkout: Act, tmp_path: Path) -> None:
    for url in (f"ext::sh -c touch% {tmp_path}/canary", f"--upload-pack=touch {tmp_path}/canary"):
        with pytest.raises(Refusal):
            checkout(REPO_URL=url)
        assert not (tmp_path / "canary").exists()


@pytest.mark.fault("F5")
def test_hooks_do_not_run(checkout: Act, settings: Settings, tmp_path: Path) -> None:
    checkout()
    hook = Path(settings.repo) / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    hook.chmod(0o755)

    checkout()

    assert not (tmp_path / "canary").exists()


@pytest.mark.fault("F5")
def test_no_filter_of_the_repository_runs_and_the_checkout_stays_clean(
    checkout: Act, settings: Settings, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.commit(".gitattributes", "*.py filter=evil\n*.txt filter=late\n")
    checkout()
    for driver, command in (("evil", "smudge"), ("evil", "clean"), ("late", "process")):
        for key, value in ((command, f"touch {tmp_path}/canary; cat"), ("required", "true")):
            config = ["git", "-C", settings.repo, "config", f"filter.{driver}.{key}", value]
            subprocess.run(config, check=True)
    upstream.commit("train.py", "print('filtered?')\n")
    upstream.commit("notes.txt", "text")

    result = checkout(CHECKOUT_FORCE_CLEAN="1")

    assert result["dirty"] == []
    assert (Path(settings.repo) / "train.py").read_text() == "print('filtered?')\n"
    assert not (tmp_path / "canary").exists()


def test_credentials_travel_in_the_environment_alone() -> None:
    found = remote("https://ada:s3cr%40t@example.org:8443/r.git")

    assert found.url == "https://example.org:8443/r.git"
    assert found.env["GIT_CONFIG_KEY_0"] == "url.https://ada:s3cr%40t@example.org:8443/.insteadOf"
    assert found.env["GIT_CONFIG_VALUE_0"] == "https://example.org:8443/"


def test_credentials_are_neither_stored_nor_logged(
    checkout: Act, settings: Settings, upstream: Upstream
) -> None:
    checkout(EXPECT_GIT_SHA="")
    subprocess.run(
        ["git", "-C", settings.repo, "config", "remote.origin.url", "https://127.0.0.1:1/r"],
        check=True,
    )

    with pytest.raises(Refusal) as refused:
        checkout(REPO_URL="https://ada:s3cret@127.0.0.1:1/r")

    text = Path(settings.operations, "r-test", "log").read_text()
    text += (Path(settings.repo) / ".git" / "config").read_text() + str(refused.value)
    assert "127.0.0.1:1" in text
    assert "s3cret" not in text


def test_a_bundle_is_checked_out_without_any_remote(
    act: Act, upstream: Upstream, settings: Settings, tmp_path: Path
) -> None:
    bundle = tmp_path / "repo.bundle"
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")
    args = {"bundle": str(bundle), "expect_sha": upstream.head}

    result = act("checkout", keys={"REPO_URL": "."}, **args)

    assert result["git_sha"] == upstream.head == head(settings)
    assert result["remote"] == "bundle"
    assert bundle.exists()
    newer = upstream.commit("train.py", "print('newer')\n")
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")
    args["expect_sha"] = newer
    assert act("checkout", keys={"REPO_URL": "."}, **args)["git_sha"] == newer


def test_a_bundle_that_was_uploaded_does_not_stay(
    act: Act, upstream: Upstream, settings: Settings
) -> None:
    bundle = Path(settings.control, "bundles", "repo.bundle")
    bundle.parent.mkdir(parents=True)
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")

    act("checkout", keys={"REPO_URL": "."}, bundle=str(bundle), expect_sha=upstream.head)

    assert not bundle.exists()


def test_a_bundle_of_another_commit_is_the_wrong_one(
    act: Act, upstream: Upstream, tmp_path: Path
) -> None:
    bundle = tmp_path / "repo.bundle"
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")

    with pytest.raises(Refusal) as refused:
        act("checkout", keys={"REPO_URL": "."}, bundle=str(bundle), expect_sha="cd" * 20)

    assert refused.value.kind == "wrong-sha"


def test_a_damaged_bundle_is_told(act: Act, tmp_path: Path) -> None:
    bundle = tmp_path / "repo.bundle"
    bundle.write_text("no bundle")

    with pytest.raises(Refusal, match="cannot be read"):
        act("checkout", keys={"REPO_URL": "."}, bundle=str(bundle), expect_sha="cd" * 20)


@pytest.mark.fault("F5")
def test_submodules_and_lfs_pointers_are_told(checkout: Act, upstream: Upstream) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    upstream.commit("weights dir/w.bin", pointer)
    upstream.commit(".gitmodules", '[submodule "x"]\n\tpath = libs/x\n\turl = ../x\n')

    result = checkout()

    assert result["lfs"] == ["weights dir/w.bin"]
    assert result["submodules"] == result["empty_submodules"] == ["libs/x"]


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


def test_sha256_repositories_are_cloned_too(act: Act, tmp_path: Path) -> None:
    path = tmp_path / "sha256"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(path)], check=True)
    (path / "a").touch()
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(path), "add", "a"], check=True)
    subprocess.run(["git", "-C", str(path), *identity, "commit", "-q", "-m", "a"], check=True)

    assert len(act("checkout", keys={"REPO_URL": str(path)})["git_sha"]) == 64


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
    checkout: Act, upstream: Upstream, settings: Settings
) -> None:
    look = {"verify": True, "expect_sha": checkout()["git_sha"], "resolve": True}
    later = upstream.commit("train.py", "print('later')\n")

    assert checkout(look)["asked_sha"] == later
    upstream.path.rename(upstream.path.with_name("gone"))
    told = checkout(look)
    assert "asked_sha" not in told
    assert "cannot be read from the pod" in told["asked_why"]


def test_resume_stops_at_another_commit_or_a_modified_file(
    checkout: Act, settings: Settings
) -> None:
    with pytest.raises(Refusal, match="there is no checkout"):
        checkout({"verify": True})
    sha = checkout()["git_sha"]

    with pytest.raises(Refusal) as refused:
        checkout({"verify": True, "expect_sha": "ab" * 20})
    assert refused.value.facts == {"expected": "ab" * 20, "found": sha}

    (Path(settings.repo) / "train.py").write_text("mine")
    with pytest.raises(Refusal, match=r"train\.py"):
        checkout({"verify": True, "expect_sha": sha})


def test_it_is_refused_while_a_sweep_runs(checkout: Act, settings: Settings) -> None:
    state.reset(settings, fsm.SWEEP_RUNNING, "for the test")

    with pytest.raises(Refusal, match="the pod is in SWEEP_RUNNING"):
        checkout()


def test_a_link_in_the_place_of_the_campaigns_trees_is_not_followed(
    checkout: Act, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (upstream.path / ".wf-trees").symlink_to(tmp_path / "elsewhere")
    upstream.git("add", ".wf-trees")
    upstream.git("commit", "-q", "-m", "Link")

    with pytest.raises(Refusal, match=r"\.wf-trees exists, and pytest-wf did not make it"):
        checkout()

    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_users_commands_run_in_the_repository_with_the_venv_first(
    checkout: Act, settings: Settings
) -> None:
    checkout()
    put_pip(settings)

    result = checkout(
        CHECKOUT_INSTALL_CMD='command -v python > seen; echo "$VENV_PYTHON" >> seen; pwd >> seen',
        CHECKOUT_POST_CMD="cat seen && echo $((1 + 1)) > post",
    )

    python = f"{settings.repo}/.venv/bin/python"
    seen = (Path(settings.repo) / "seen").read_text().splitlines()
    assert seen == [python, python, settings.repo]
    assert (Path(settings.repo) / "post").read_text() == "2\n"
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


def test_git_on_the_pod_uses_no_repository_of_its_environment(
    checkout: Act, settings: Settings, upstream: Upstream, tmp_path: Path, monkeypatch: Any
) -> None:
    other = Upstream(tmp_path / "other")
    other.commit("train.py", "print('the wrong one')\n")
    expected = upstream.head
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))

    assert checkout()["git_sha"] == expected
    assert (Path(settings.repo) / "train.py").read_text() == "print('training')\n"


def test_files_are_those_of_the_commit_whatever_the_logins_git_is_told(
    act: Act, upstream: Upstream, settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    attributes = tmp_path / "attributes"
    attributes.write_text("* eol=crlf ident\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(
        f"[core]\n\tautocrlf = true\n\tattributesFile = {attributes}\n"
        '[protocol "file"]\n\tallow = never\n[alias]\n\tfetch = !false\n'
    )
    bundle = tmp_path / "repo.bundle"
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    act("checkout", keys={"REPO_URL": "."}, bundle=str(bundle), expect_sha=upstream.head)

    assert (Path(settings.repo) / "train.py").read_bytes() == b"print('training')\n"


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
