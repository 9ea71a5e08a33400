"""Git repositories that pods clone from."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Upstream:
    """A real git repository that pods clone from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
        self.commit("train.py", "print('training')\n")

    def git(self, *words: str) -> str:
        """Run git in it and return what it says."""
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", "-C", str(self.path), *identity, *words],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, name: str, content: str) -> str:
        """Commit a file; the commit's id."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        self.git("add", "--", name)
        self.git("commit", "-q", "-m", f"Change {name}")
        return self.head

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")


def head_of(repo: Path) -> str:
    """The commit that is checked out in a repository."""
    return subprocess.check_output(["git", "-C", str(repo), "rev-parse", "HEAD"], text=True).strip()


def bundled(upstream: Upstream, bundle: Path) -> dict[str, str]:
    """Pack what is checked out into the file `bundle`; the arguments to check it out."""
    upstream.git("bundle", "create", "-q", str(bundle), "HEAD")
    return {"bundle": str(bundle), "expect_sha": upstream.head}
