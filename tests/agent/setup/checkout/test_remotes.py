"""The pod clones over real ssh and over http, with credentials that leave no trace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.wire.messages import Refusal
from tests.support.repository import Upstream
from tests.support.web_server import private_repository, serving

Act = Callable[..., dict[str, Any]]


def test_a_repository_behind_ssh_is_cloned(
    checkout: Act, upstream: Upstream, sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = f"-F none -i {sshd.identity_file} -oUserKnownHostsFile={sshd.known_hosts_file}"
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=os.pathsep)
    url = f"ssh://{sshd.user}@{sshd.host}:{sshd.port}{upstream.path}"

    result = checkout(REPO_URL=url)

    assert (result["git_sha"], result["remote"]) == (upstream.head, url)


def test_a_repository_in_a_file_url_is_cloned(checkout: Act, upstream: Upstream) -> None:
    upstream.git("update-ref", "refs/pull/3/head", "HEAD")

    result = checkout(REPO_URL=f"file://{upstream.path}", CHECKOUT_PR="3")

    assert result["git_sha"] == upstream.head


@pytest.fixture
def private(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """host:port of a private repository on loopback."""
    upstream.git("update-server-info")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(private_repository(upstream.path / ".git")) as address:
        yield address


def test_a_token_opens_a_private_repository_and_leaves_no_trace(
    checkout: Act, upstream: Upstream, private: str, tmp_path: Path
) -> None:
    result = checkout(REPO_URL=f"http://ada:s3cret-token@{private}/")

    assert (result["git_sha"], result["remote"]) == (upstream.head, f"http://{private}/")
    assert "s3cret" not in str(result)
    for path in (tmp_path / "pod").rglob("*"):
        if path.is_file() and ".venv" not in path.parts:
            assert b"s3cret" not in path.read_bytes(), path


@pytest.mark.fault("F4")
def test_a_private_repository_without_credentials_says_how_it_may_travel(
    checkout: Act, private: str
) -> None:
    with pytest.raises(Refusal, match="cannot be read from the pod") as refused:
        checkout(REPO_URL=f"http://{private}/")

    assert refused.value.kind == "clone"
    assert "CHECKOUT_VIA=bundle" in refused.value.remedy
