"""Git on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_wf.wire import environment


def run_git(
    root: Path,
    *words: str,
    timeout_s: float,
    stdin: str = "",
    errors: str = "replace",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run git in `root`, with `env` added to its environment, whatever its exit status is.

    `errors` says how output that is not UTF-8 is decoded. Raises FileNotFoundError if this machine
    has no git, and subprocess.TimeoutExpired.
    """
    return subprocess.run(
        ["git", "-C", str(root), *words],
        input=stdin,
        capture_output=True,
        check=False,
        text=True,
        errors=errors,
        timeout=timeout_s,
        env=environment.of_git(env),
    )


def git_output(root: Path, *words: str, timeout_s: float) -> str | None:
    """The output of git in `root`; None if it fails, is not installed or takes too long."""
    try:
        done = run_git(root, *words, timeout_s=timeout_s)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
