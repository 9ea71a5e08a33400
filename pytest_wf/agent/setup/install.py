"""CHECKOUT_INSTALL_CMD: run, and not run again while nothing that it depends on has changed."""

import glob
import os
import re
import shlex
from typing import Any, Dict, List, Set

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.agent.setup.image_packages import is_of_torch
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.agent.setup.user_commands import UserCommands
from pytest_wf.agent.setup.virtualenv import Package
from pytest_wf.wire.files import (
    BadJson,
    canonical_json,
    read_json,
    remove_file,
    sha256_bytes,
    sha256_file,
    write_json,
)
from pytest_wf.wire.messages import Refusal

#: What an installation may read, besides the files that its command names.
_READ = ("pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "*.lock", "pylock*.toml")
#: How many packages that belong to torch are named.
_SHOWN = 40


def install(
    commands: UserCommands,
    settings: Settings,
    log: StepLog,
    git_sha: str,
    python: str,
    before: List[Package],
) -> Dict[str, Any]:
    """Run the install command if it has to run; `before` are the packages that are there.

    ``{"installed": it ran, "install_skipped": it ran before and nothing has changed since,
    "install_log": [from, to] in the log, "installation": what it did}``. Raises Refusal 'install',
    'torch', 'venv'.
    """
    command = settings["CHECKOUT_INSTALL_CMD"]
    facts: Dict[str, Any] = {"installed": False, "install_skipped": False, "install_log": None}
    if not command.strip():
        return facts
    key = _key(settings, command, git_sha, python)
    if _left(settings) == {"key": key, "packages": digest(before)}:
        log.write("CHECKOUT_INSTALL_CMD is not run: nothing has changed since it last was\n")
        return dict(facts, install_skipped=True)
    remove_file(_record(settings))
    began = log.size()
    done = commands.run("CHECKOUT_INSTALL_CMD", "install")
    span = [began, log.size()]
    after = virtualenv.packages(settings, log)
    _refuse_elsewhere(settings, before, after, done.output)
    did = {"seconds": round(done.seconds, 1), **changes(before, after)}
    return dict(facts, installed=True, install_log=span, installation=did)


def changes(before: List[Package], after: List[Package]) -> Dict[str, Any]:
    """How many packages were added, changed and removed, and which of them belong to torch.

    A package with another version counts as changed.
    """
    was, now = ({one.name: one.version for one in packages} for packages in (before, after))
    found = {
        "added": {name: now[name] for name in now if name not in was},
        "changed": {n: "%s to %s" % (was[n], now[n]) for n in now if was.get(n, now[n]) != now[n]},
        "removed": {name: was[name] for name in was if name not in now},
    }
    of_torch = [
        "%s %s %s" % (name, versions[name], verb)
        for verb, versions in found.items()
        for name in sorted(versions)
        if is_of_torch(name)
    ]
    counts: Dict[str, Any] = {verb: len(versions) for verb, versions in found.items()}
    return {**counts, "of_torch": of_torch[:_SHOWN]}


def _refuse_elsewhere(
    settings: Settings, before: List[Package], after: List[Package], output: str
) -> None:
    """Raise Refusal 'venv' if a package was installed outside the environment."""
    known, now = {package.line for package in before}, {one.name: one for one in after}
    changed = {package.name for package in after if package.line not in known}
    links = glob.glob(
        os.path.join(
            glob.escape(virtualenv.site_packages(os.path.join(settings.repo, ".venv"))),
            "*.egg-link",
        )
    )
    develops = {
        virtualenv.normalized(os.path.basename(path)[: -len(".egg-link")]) for path in links
    }
    inside = (os.path.realpath(settings.repo) + os.sep, settings.repo + os.sep)
    elsewhere = {
        name: now[name].folder if name in now else "where no training sees it"
        for name in (changed | _said_to_be_installed(output)) - develops
        if name not in now or not (now[name].folder + os.sep).startswith(inside)
    }
    if elsewhere:
        raise Refusal(
            "venv",
            "CHECKOUT_INSTALL_CMD installed packages elsewhere than in %s: %s"
            % (
                os.path.dirname(os.path.dirname(settings.venv_python)),
                ", ".join("%s (%s)" % pair for pair in sorted(elsewhere.items())),
            ),
            "Remove --user, --target, --system and other pips from it; install what no training "
            "imports in CHECKOUT_POST_CMD.",
            {"elsewhere": elsewhere},
        )


def _said_to_be_installed(output: str) -> Set[str]:
    """Packages that pip and uv reported as installed, and not as removed later."""
    names: Set[str] = set()
    for line in output.splitlines():
        removed = re.match(r"\s*Successfully uninstalled (\S+)-[^-\s]+$| - ([\w.-]+)==", line)
        put = re.match(r" \+ ([\w.-]+)==", line)
        if removed:
            names.discard(virtualenv.normalized(next(filter(None, removed.groups()))))
        elif put:
            names.add(virtualenv.normalized(put.group(1)))
        elif line.startswith("Successfully installed "):
            words = line.split()[2:]
            names.update(virtualenv.normalized(word.rpartition("-")[0] or word) for word in words)
    return names


def remember(settings: Settings, git_sha: str, python: str, packages: List[Package]) -> str:
    """Record the result for the next checkout; the digest of `packages`."""
    packages_sha256 = digest(packages)
    command = settings["CHECKOUT_INSTALL_CMD"]
    if command.strip():
        # as the commands left it: they may have written what they read, such as a lock file
        key = _key(settings, command, git_sha, python)
        write_json(_record(settings), {"key": key, "packages": packages_sha256})
    return packages_sha256


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


def digest(packages: List[Package]) -> str:
    """The digest of a list of packages, as it is among a flow's artifacts."""
    return sha256_bytes(("".join(one.line + "\n" for one in packages)).encode("utf-8"))


def _record(settings: Settings) -> str:
    # is removed together with the environment that it describes
    return os.path.join(settings.repo, ".venv", "wf-install.json")
