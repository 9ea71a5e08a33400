"""Fetches a private repository on this machine and sends it to the pod as a bundle.

`CHECKOUT_VIA=bundle`: git on this machine uses the user's own credentials (an ssh agent, a
credential store); none of them reach the pod. Fetched objects are kept below the project's
``.wf/repositories``, so that the next flow fetches only new commits.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.git_bundle import Bundle, never
from pytest_wf.project.local_git import run_git
from pytest_wf.wire.files import sha256_bytes, sha256_file
from pytest_wf.wire.remotes import Remote, Wanted, masked, remote
from pytest_wf.wire.safe_text import excerpt

_TIMEOUT_S = 3600
_TARGET = "refs/wf/target"


@contextmanager
def relayed(
    url: str, wanted: Wanted, cache: Path, has: Callable[[str], bool] = never
) -> Iterator[Bundle]:
    """Bundle the wanted commit of the repository at `url`; the file exists within the block.

    `has` says whether the pod has a commit, for which no file is needed.
    Raises OperationFailed('clone') if it cannot be read, or has no such branch or change
    request, and 'wrong-sha' if the commit is not in it.
    """
    with (
        _opened(url, cache) as store,
        tempfile.TemporaryDirectory(prefix="wf-bundle-") as folder,
    ):
        sha = store.bring(wanted)
        if has(sha):
            yield Bundle(None, sha)
            return
        path = Path(folder) / "repo.bundle"
        store.pack(sha, path)
        yield Bundle(path, sha, sha256_file(str(path)), path.stat().st_size)


def commit_of(url: str, wanted: Wanted, cache: Path) -> str:
    """The wanted commit's full id. Raises OperationFailed as `relayed` does."""
    with _opened(url, cache) as store:
        return store.bring(wanted)


def demand_readable(url: str, wanted: Wanted) -> None:
    """Raise OperationFailed('clone') if `url` cannot be read from here, or lacks the wanted
    branch or change request; fetches and keeps nothing."""
    store = _Store(Path(os.devnull), remote(url))
    store.pick(store.refs(), wanted)


@contextmanager
def _opened(url: str, cache: Path) -> Iterator[_Store]:
    from filelock import FileLock  # slow to import

    origin = remote(url)
    cache.mkdir(parents=True, exist_ok=True)
    name = sha256_bytes(origin.url.encode())[:16]
    with FileLock(cache / f"{name}.lock"):
        yield _Store(cache / f"{name}.git", origin)


class _Store:
    """A bare repository of the project, with one remote."""

    def __init__(self, path: Path, origin: Remote) -> None:
        self._path = path
        self._origin = origin

    def bring(self, wanted: Wanted) -> str:
        """Fetch the wanted commit and return its full id."""
        origin, sha = self._origin, wanted.sha.lower()
        refs = self.refs()
        self._begin(len(next(iter(refs.values()), sha)))
        if sha and self._has(sha):
            return sha
        ref = self.pick(refs, wanted)
        if ref is not None:
            self._must(*_FETCH, "--", origin.url, f"+{ref}:{_TARGET}")
        if not sha:
            return self._git("rev-parse", f"{_TARGET}^{{commit}}").stdout.strip()
        if not self._has(sha):
            # not an ancestor of that tip, but a server may still offer a commit by its id
            self._git(*_FETCH, "--", origin.url, f"+{sha}:{_TARGET}")
        if not self._has(sha):
            self._must(*_FETCH, "--", origin.url, "+refs/heads/*:refs/wf/heads/*")
        if not self._has(sha):
            raise OperationFailed(
                "wrong-sha",
                f"commit {sha} is not in {origin.url}.",
                "Correct EXPECT_GIT_SHA, or push that commit.",
                {"expected": sha, "found": refs.get(ref or "HEAD", "")},
            )
        return sha

    def refs(self) -> dict[str, str]:
        """The remote's refs, with their commits."""
        listed = self._must("ls-remote", "--quiet", "--", self._origin.url)
        lines = [line.partition("\t") for line in listed.splitlines()]
        return {ref: commit for commit, tab, ref in lines if tab}

    def pick(self, refs: Mapping[str, str], wanted: Wanted) -> str | None:
        """The wanted one of `refs`; None if only a commit is wanted."""
        ref = next((ref for ref in wanted.refs if ref in refs), None)
        if ref is None and (wanted.branch or wanted.change or not wanted.sha):
            raise OperationFailed(
                "clone",
                f"{self._origin.url} has no {wanted.what}.",
                "Correct CHECKOUT_BRANCH or CHECKOUT_PR, or push it.",
            )
        return ref

    def pack(self, sha: str, path: Path) -> None:
        """Pack `sha` with its history, as HEAD, into `path`."""
        self._must("update-ref", "--no-deref", "HEAD", sha)
        self._must("bundle", "create", "--quiet", str(path), "HEAD")

    def _begin(self, digits: int) -> None:
        kind = "sha256" if digits == 64 else "sha1"
        if not (self._path / "HEAD").exists():
            self._path.mkdir(exist_ok=True)
            self._must("init", "--quiet", "--bare", f"--object-format={kind}")

    def _has(self, sha: str) -> bool:
        return self._git("cat-file", "-e", f"{sha}^{{commit}}").returncode == 0

    def _must(self, *words: str) -> str:
        done = self._git(*words)
        if done.returncode != 0:
            said = excerpt(masked(done.stderr))
            raise OperationFailed(
                "clone",
                f"{self._origin.url} cannot be packed here: `git {words[0]}` says: {said}",
                "CHECKOUT_VIA=bundle reads REPO_URL with your own git: try `git ls-remote "
                f"{self._origin.url}` by hand.",
            )
        return done.stdout

    def _git(self, *words: str) -> subprocess.CompletedProcess[str]:
        root = self._path if self._path.is_dir() else Path()
        options = ("-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null")
        env = self._origin.env
        try:
            return run_git(root, *options, *words, timeout_s=_TIMEOUT_S, env=env)
        except FileNotFoundError:
            raise OperationFailed(
                "clone",
                "CHECKOUT_VIA=bundle needs git on this machine, and there is none.",
                "Install git here, or write CHECKOUT_VIA=pod.",
            ) from None
        except subprocess.TimeoutExpired:
            raise OperationFailed(
                "clone",
                f"`git {words[0]}` on {self._origin.url} did not end in {_TIMEOUT_S} s.",
                "Look at the network of this machine, or write CHECKOUT_VIA=pod.",
            ) from None


_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
