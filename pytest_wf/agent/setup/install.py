"""CHECKOUT_INSTALL_CMD: run, and not run again while nothing that it depends on has changed."""

import glob
import os
import shlex
from typing import Any, Dict, List

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.logged_step import BASH, StepLog, run_step
from pytest_wf.wire.files import (
    BadJson,
    canonical_json,
    read_json,
    sha256_bytes,
    sha256_file,
    write_json,
)
from pytest_wf.wire.messages import Refusal

_TIMEOUT_S = 3600
#: What an installation may read, beside the files that its command names.
_READ = ("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "*.lock", "pylock*.toml")


def run_command(settings: Settings, log: StepLog, key: str, kind: str) -> bool:
    """Whether the config has the command `key`, which then ran well. Raises Refusal `kind`."""
    command = settings[key]
    if not command.strip():
        return False
    done = run_step(
        log,
        [*BASH, "-c", command],
        timeout_s=settings.int("WF_PHASE_TIMEOUT_SECS") or _TIMEOUT_S,
        cwd=settings.repo,
        env=virtualenv.venv_environment(settings),
    )
    if not done.ok:
        raise Refusal(
            kind,
            "%s: %s" % (key, done.says()),
            "Correct the command; its output is in the log of the checkout.",
            {"rc": done.returncode, "log_tail": done.tail()},
        )
    return True


def install(settings: Settings, log: StepLog, git_sha: str, python: str) -> Dict[str, Any]:
    """Run the install command where it has to run.

    ``{"installed": it ran, "install_skipped": it ran before and nothing has changed since,
    "install_log": [from, to] in the log}``.
    """
    command = settings["CHECKOUT_INSTALL_CMD"]
    facts = {"installed": False, "install_skipped": False, "install_log": None}
    if not command.strip():
        return facts
    key = _key(settings, command, git_sha, python)
    before = virtualenv.packages(settings, log)
    if _left(settings) == {"key": key, "packages": _digest(before)}:
        log.write("CHECKOUT_INSTALL_CMD is not run: nothing has changed since it last was\n")
        return dict(facts, install_skipped=True)
    _forget(settings)
    began = log.size()
    run_command(settings, log, "CHECKOUT_INSTALL_CMD", "install")
    return dict(facts, installed=True, install_log=[began, log.size()])


def remember(settings: Settings, git_sha: str, python: str, packages: List[str]) -> str:
    """Let the next checkout know what this one left; the digest of `packages`."""
    digest = _digest(packages)
    command = settings["CHECKOUT_INSTALL_CMD"]
    if command.strip():
        # as the commands left it: they may have written what they read, such as a lock file
        key = _key(settings, command, git_sha, python)
        write_json(_record(settings), {"key": key, "packages": digest})
    return digest


def _key(settings: Settings, command: str, git_sha: str, python: str) -> str:
    named = {key: value for key, value in settings.items() if key in command}
    named.pop("CHECKOUT_INSTALL_CMD", None)
    inputs = {
        "command": command,
        "commit": git_sha,
        "python": [python, settings["REMOTE_PYTHON_BIN"]],
        "files": _files(settings.repo, command),
        "keys": named,
    }
    return sha256_bytes(canonical_json(inputs))


def _files(repo: str, command: str) -> Dict[str, str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        words = command.split()
    # --requirement=x.txt and -rx.txt name a file, too
    words += [word.partition("=")[2] for word in words if "=" in word]
    words += [word[2:] for word in words if word.startswith("-r")]
    paths = {os.path.normpath(os.path.join(repo, word)) for word in words if word}
    for pattern in _READ:
        paths.update(glob.glob(os.path.join(glob.escape(repo), pattern)))
    return {path: sha256_file(path) for path in sorted(paths) if os.path.isfile(path)}


def _left(settings: Settings) -> Any:
    try:
        return read_json(_record(settings))
    except (OSError, BadJson):
        return None


def _forget(settings: Settings) -> None:
    try:
        os.unlink(_record(settings))
    except FileNotFoundError:
        pass


def _digest(packages: List[str]) -> str:
    return sha256_bytes(("".join(line + "\n" for line in packages)).encode("utf-8"))


def _record(settings: Settings) -> str:
    # goes with the environment that it tells about
    return os.path.join(settings.repo, ".venv", "wf-install.json")
