"""A control group for the processes of one command, if the pod allows one.

A process can leave its session, its parents and its environment, but not its group. The group's
name is the command's cookie, so that `process.holders` finds the members from anywhere.
"""

import os
from typing import Iterator, List, Set

from pytest_wf.agent.process import GROUP_PREFIX

#: Hierarchies of version 1 in which a group changes nothing for its members.
_NEUTRAL = ("pids", "freezer")


def make(cookie: str) -> str:
    """Path of a new group below this process's own; '' if none can be created."""
    for parent in _own_groups():
        path = os.path.join(parent, GROUP_PREFIX + cookie)
        try:
            os.mkdir(path)
        except FileExistsError:
            pass
        except OSError:
            continue
        if os.access(os.path.join(path, "cgroup.procs"), os.W_OK):
            return path
        remove(path)
    return ""


def enter(path: str) -> None:
    """Move this process into the group; it stays where it is if that is not allowed."""
    try:
        fd = os.open(os.path.join(path, "cgroup.procs"), os.O_WRONLY)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)
    except OSError:
        pass


def members(path: str) -> Set[int]:
    """Pids of all processes in the group and in groups below it; none if `path` is ''."""
    found: Set[int] = set()
    for folder, _, _ in os.walk(path) if path else ():
        try:
            with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as f:
                found.update(int(line) for line in f)
        except OSError:
            pass  # it was removed meanwhile
    return found


def remove(path: str) -> None:
    """Remove the group, if nothing runs in it."""
    try:
        os.rmdir(path)
    except OSError:
        pass


def _own_groups() -> Iterator[str]:
    """Paths of the groups that this process is in, of version 2 first."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            lines = [line.rstrip("\n").split(":", 2) for line in f]
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            mounts = [line.split() for line in f]
    except (OSError, UnicodeDecodeError):
        return
    own = {name: path for _, names, path in lines for name in names.split(",")}
    for wanted in ("", *_NEUTRAL):
        for words in mounts:
            root, place = words[3], words[4]
            if wanted not in _controllers(words) or wanted not in own:
                continue
            inside = os.path.relpath(own[wanted], root)
            if not inside.startswith(".."):
                yield os.path.normpath(os.path.join(place, inside))


def _controllers(words: List[str]) -> List[str]:
    """What a line of mountinfo mounts: controllers of version 1, or '' for version 2."""
    kind, _, options = words[words.index("-") + 1 :][:3]
    if kind == "cgroup2":
        return [""]
    return options.split(",") if kind == "cgroup" else []
