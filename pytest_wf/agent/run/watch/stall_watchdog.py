"""Detection of stalled runs, and the kernel's count of processes killed for memory."""

import os
import time
from typing import Any, Sequence, Tuple

#: The most files that are checked for growth.
_MAX_GROWING = 20000


class StallWatchdog:
    """Detects a run that neither prints nor writes anything, by changes and a monotonic clock.

    `folders` are those that only the trainer writes to.
    """

    def __init__(self, limit_s: int, folders: Sequence[str], heartbeat_path: str) -> None:
        self.limit_s = limit_s
        self._folders = folders
        self._heartbeat = heartbeat_path
        self._every_s = min(30.0, limit_s / 5)
        self._changed = self._looked = time.monotonic()
        self._seen: Any = None

    def is_stalled(self, received: int) -> bool:
        """Whether nothing has changed for the limit; costs little between two looks."""
        now = time.monotonic()
        if not self.limit_s or now - self._looked < self._every_s:
            return False
        self._looked = now
        seen = (received, _stamp(self._heartbeat), self._growth())
        if seen != self._seen:
            self._seen, self._changed = seen, now
        return now - self._changed > self.limit_s

    def _growth(self) -> Tuple[int, int, int]:
        count = size = newest = 0
        for folder, _, names in (found for top in self._folders for found in os.walk(top)):
            for name in names:
                count += 1
                if count > _MAX_GROWING:
                    return count, size, newest
                try:
                    info = os.lstat(os.path.join(folder, name))
                except OSError:
                    continue
                size += info.st_size
                newest = max(newest, info.st_mtime_ns)
        return count, size, newest


def oom_kills() -> int:
    """How often the kernel has killed for memory in this process's cgroup; 0 if unknown."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as f:
            groups = [line.rstrip("\n").split(":", 2) for line in f]
    except (OSError, UnicodeDecodeError):
        return 0
    paths = []
    for _, controllers, path in groups:
        if not controllers:
            paths += ["/sys/fs/cgroup%s/memory.events" % path, "/sys/fs/cgroup/memory.events"]
        elif "memory" in controllers.split(","):
            root = "/sys/fs/cgroup/memory"
            paths += ["%s%s/memory.oom_control" % (root, path), root + "/memory.oom_control"]
    for name in paths:
        try:
            with open(name, encoding="ascii") as f:
                fields = dict(line.split() for line in f if len(line.split()) == 2)
            return int(fields["oom_kill"])
        except (OSError, KeyError, ValueError):
            continue
    return 0


def _stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
