"""P50 runs nothing of the repository, heeds no git settings, and leaves no credential behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.remotes import remote
from tests.support.repository import Upstream, bundled

Act = Callable[..., dict[str, Any]]


def test_no_command_hides_in_a_url(checkout: Act, tmp_path: Path) -> None:
    for url in (f"ext::sh -c touch% {tmp_path}/canary", f"--upload-pack=touch {tmp_path}/canary"):
        with pytest.raises(Refusal):
            checkout(REPO_URL=url)
        assert not (tmp_path / "canary").exists()


@pytest.mark.fault("F5")
def test_hooks_do_not_run(checkout: Act, repo: Path, tmp_path: Path) -> None:
    checkout()
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    hook.chmod(0o755)

    checkout()

    assert not (tmp_path / "canary").exists()


@pytest.mark.fault("F5")
def test_no_filter_of_the_repository_runs_and_the_checkout_stays_clean(
    checkout: Act, settings: Settings, repo: Path, upstream: Upstream, tmp_path: Path
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
    assert (repo / "train.py").read_text() == "print('filtered?')\n"
    assert not (tmp_path / "canary").exists()


def test_credentials_travel_in_the_environment_alone() -> None:
    found = remote("https://ada:s3cr%40t@example.org:8443/r.git")

    assert found.url == "https://example.org:8443/r.git"
    assert found.env["GIT_CONFIG_KEY_0"] == "url.https://ada:s3cr%40t@example.org:8443/.insteadOf"
    assert found.env["GIT_CONFIG_VALUE_0"] == "https://example.org:8443/"


def test_credentials_are_neither_stored_nor_logged(
    checkout: Act, settings: Settings, repo: Path
) -> None:
    checkout(EXPECT_GIT_SHA="")
    subprocess.run(
        ["git", "-C", settings.repo, "config", "remote.origin.url", "https://127.0.0.1:1/r"],
        check=True,
    )

    with pytest.raises(Refusal) as refused:
        checkout(REPO_URL="https://ada:s3cret@127.0.0.1:1/r")

    text = Path(settings.operations, "r-test", "log").read_text()
    text += (repo / ".git" / "config").read_text() + str(refused.value)
    assert "127.0.0.1:1" in text
    assert "s3cret" not in text


def test_git_on_the_pod_uses_no_repository_of_its_environment(
    checkout: Act, repo: Path, upstream: Upstream, tmp_path: Path, monkeypatch: Any
) -> None:
    other = Upstream(tmp_path / "other")
    other.commit("train.py", "print('the wrong one')\n")
    expected = upstream.head
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))

    assert checkout()["git_sha"] == expected
    assert (repo / "train.py").read_text() == "print('training')\n"


def test_files_are_those_of_the_commit_whatever_the_logins_git_is_told(
    checkout: Act, upstream: Upstream, repo: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    attributes = tmp_path / "attributes"
    attributes.write_text("* eol=crlf ident\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(
        f"[core]\n\tautocrlf = true\n\tattributesFile = {attributes}\n"
        '[protocol "file"]\n\tallow = never\n[alias]\n\tfetch = !false\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    checkout(bundled(upstream, tmp_path / "repo.bundle"), REPO_URL=".")

    assert (repo / "train.py").read_bytes() == b"print('training')\n"
