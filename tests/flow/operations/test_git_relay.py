"""CHECKOUT_VIA=bundle: a repository that only this machine may read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.git_relay import demand_readable, relayed
from pytest_wf.wire.remotes import Wanted
from tests.support.web_server import private_repository, serving

HEAD = Wanted("", "", "")
_IDENTITY = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]


def git(path: Path, *words: str) -> str:
    argv = ["git", "-C", str(path), *_IDENTITY, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with two commits on main, one on a branch, and a pull request."""
    path = tmp_path / "upstream"
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    for number in ("1", "2"):
        (path / "train.py").write_text(f"print({number})\n")
        git(path, "add", ".")
        git(path, "commit", "-q", "-m", number)
    git(path, "branch", "feature/x", "HEAD~1")
    pull = git(path, "commit-tree", "-p", "HEAD", "-m", "pull", "HEAD^{tree}")
    git(path, "update-ref", "refs/pull/7/head", pull)
    return path


def fetch(url: str, wanted: Wanted, cache: Path) -> str:
    """The id of the commit that is packed."""
    with relayed(url, wanted, cache) as bundle:
        return bundle.git_sha


def unpacked(bundle: Path, into: Path) -> str:
    """The commit that a clone of the bundle is at."""
    subprocess.run(["git", "clone", "-q", str(bundle), str(into)], check=True, capture_output=True)
    return git(into, "rev-parse", "HEAD")


def test_a_look_finds_what_cannot_be_relayed_and_keeps_nothing(
    upstream: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    demand_readable(str(upstream), Wanted("feature/x", "", ""))
    with pytest.raises(OperationFailed, match="has no branch 'gone'"):
        demand_readable(str(upstream), Wanted("gone", "", ""))
    with pytest.raises(OperationFailed, match="ls-remote"):
        demand_readable(str(tmp_path / "nowhere"), HEAD)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (HEAD, "main"),
        (Wanted("feature/x", "", ""), "feature/x"),
        (Wanted("", "7", ""), "refs/pull/7/head"),
    ],
    ids=["HEAD", "branch", "pull request"],
)
def test_what_is_asked_for_is_packed(
    upstream: Path, tmp_path: Path, wanted: Wanted, name: str
) -> None:
    with relayed(str(upstream), wanted, tmp_path / "cache") as bundle:
        assert bundle.git_sha == git(upstream, "rev-parse", name)
        assert bundle.path is not None
        assert unpacked(bundle.path, tmp_path / "clone") == bundle.git_sha
    assert not bundle.path.exists()


def test_a_pinned_commit_is_packed_and_a_wrong_one_refused(upstream: Path, tmp_path: Path) -> None:
    first = git(upstream, "rev-parse", "HEAD~1")

    with relayed(str(upstream), Wanted("", "", first.upper()), tmp_path / "cache") as bundle:
        assert bundle.git_sha == first
    with pytest.raises(OperationFailed, match=r"commit abab\w+ is not in") as refused:
        fetch(str(upstream), Wanted("main", "", "ab" * 20), tmp_path / "cache")
    assert refused.value.kind == "wrong-sha"


def test_news_are_fetched_into_what_is_kept(upstream: Path, tmp_path: Path) -> None:
    fetch(str(upstream), HEAD, tmp_path / "cache")
    (upstream / "train.py").write_text("print(3)\n")
    git(upstream, "commit", "-q", "-a", "-m", "3")

    with relayed(str(upstream), HEAD, tmp_path / "cache") as bundle:
        assert bundle.git_sha == git(upstream, "rev-parse", "HEAD")


def test_what_is_not_there_is_named(upstream: Path, tmp_path: Path) -> None:
    for wanted, what in ((Wanted("gone", "", ""), "branch 'gone'"), (Wanted("", "9", ""), "t 9")):
        with pytest.raises(OperationFailed, match=f"has no .*{what}") as refused:
            fetch(str(upstream), wanted, tmp_path / "cache")
        assert refused.value.kind == "clone"
    with pytest.raises(OperationFailed, match="cannot be packed here"):
        fetch(str(tmp_path / "absent"), HEAD, tmp_path / "cache")


def test_no_command_hides_in_an_address(tmp_path: Path) -> None:
    for url in (f"ext::sh -c touch% {tmp_path}/canary", f"--upload-pack=touch {tmp_path}/canary"):
        with pytest.raises(OperationFailed):
            fetch(url, HEAD, tmp_path / "cache")
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def private(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a private repository on loopback, without the credentials."""
    git(upstream, "update-server-info")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(private_repository(upstream / ".git")) as address:
        yield f"http://{address}/"


def test_the_users_own_credentials_open_a_private_repository(
    private: str, upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(OperationFailed, match=r"try `git ls-remote http://127"):
        fetch(private, HEAD, tmp_path / "cache")
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    (home / ".git-credentials").write_text(private.replace("//", "//ada:s3cret-token@"))

    with relayed(private, HEAD, tmp_path / "cache") as bundle:
        assert bundle.git_sha == git(upstream, "rev-parse", "HEAD")
        assert bundle.path is not None
        assert b"s3cret" not in bundle.path.read_bytes()


def test_credentials_in_the_address_are_neither_stored_nor_told(
    private: str, tmp_path: Path
) -> None:
    url = private.replace("//", "//ada:s3cret-token@")
    fetch(url, HEAD, tmp_path / "cache")
    with pytest.raises(OperationFailed) as refused:
        fetch(url + "absent", HEAD, tmp_path / "cache")

    assert "s3cret" not in str(refused.value)
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()
