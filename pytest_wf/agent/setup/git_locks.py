"""Locks that a killed git left in a repository: removed if the repository is ours, else named."""

import os
import re
from typing import Iterator, Set

from pytest_wf.agent.control import control_files, created_paths, journal
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup.logged_step import StepLog
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.ownership import is_our_folder

#: Seconds to wait for a git process that is at work.
WAIT_S = 10.0
# objects have no locks, and other tools keep files of their own
_SPARED = re.compile(r"objects/[0-9a-f]{2}|lfs|annex|hooks|wf")


def release(settings: Settings, log: StepLog, kind: str, wait_s: float = WAIT_S) -> None:
    """Remove locks on the training repository that no living git holds; a finding names each.

    The caller holds the pod's lease. Raises Refusal `kind`, which names the lock, if the repository
    is not ours, or if a git process works in it for longer than `wait_s`.
    """
    repository = settings.repo
    folder = os.path.join(repository, ".git")
    if not list(_locks(folder)):
        return
    journal.wait_until(lambda: not (list(_locks(folder)) and _gits(repository)), wait_s)
    found, at_work = sorted(_locks(folder)), sorted(_gits(repository))
    if not found:
        return
    # an interrupted clone is not marked yet
    is_ours = is_our_folder(folder) or repository in created_paths.paths(settings)
    if at_work or not is_ours:
        who = "git process %s is at work" % at_work[0] if at_work else "a git process left it"
        raise Refusal(
            kind,
            "%s on the pod locks the repository: %s" % (found[0], who),
            "Wait until it has ended, then run the same again."
            if at_work
            else "If no git is at work there, remove it on the pod: `rm %s`" % " ".join(found[:10]),
            {"locks": found, "pids": at_work},
        )
    for path in found:
        os.unlink(path)
        log.write("wf: removed %s, which a killed git left\n" % path)
        control_files.note("%s on the pod was left by a killed git, and was removed" % path)


def _locks(folder: str) -> Iterator[str]:
    """The locks of a repository whose git directory is `folder`, its working trees' included."""
    for parent, names, files in os.walk(folder):
        below = os.path.relpath(parent, folder)
        paths = {name: os.path.normpath(os.path.join(below, name)) for name in names}
        names[:] = [name for name in names if not _SPARED.fullmatch(paths[name])]
        yield from (os.path.join(parent, name) for name in files if name.endswith(".lock"))


def _gits(repository: str) -> Set[int]:
    """Pids of git processes that may work in `repository`; one whose folder is not known counts."""
    inside = os.path.realpath(repository)
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _works_in(pid, inside)}


def _works_in(pid: str, inside: str) -> bool:
    try:
        with open("/proc/%s/comm" % pid, "rb") as f:
            if not f.read().startswith(b"git"):
                return False
        with open("/proc/%s/cmdline" % pid, "rb") as f:
            words = f.read().split(b"\0")
        if not any(words):
            return False  # it has ended
        where = os.readlink("/proc/%s/cwd" % pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    named = [os.path.realpath(word) for word in map(os.fsdecode, words) if word.startswith("/")]
    return any((path + os.sep).startswith(inside + os.sep) for path in [where, *named])
