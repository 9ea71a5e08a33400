"""What the runners of attempts and of tasks have in common: how they begin, and start a child."""

import os
import shlex
import shutil
import subprocess
import threading
import time
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple

from pytest_wf.agent import process
from pytest_wf.agent.run.log_pump import LogPump

#: How long a runner waits until it has been recorded.
ACKNOWLEDGE_S = 60.0
#: Space reserved so that the result fits on a full disk: the number of files and their size.
RESERVE_FILES = 8
RESERVE_BYTES = 8 * 1024


def is_acknowledged(
    recorded: Callable[[], Optional[Mapping[str, Any]]],
    expected: Mapping[str, Any],
    starter: int = 0,
) -> bool:
    """Wait until the starter of this runner records it; whether `expected` was recorded.

    False if another runner was recorded, or none: this one must not begin then, as another may be
    started in its place. If `starter` is a pid, the wait ends when that parent ends.
    """
    deadline = time.monotonic() + ACKNOWLEDGE_S
    pause_s = 0.0005
    while time.monotonic() < deadline:
        orphaned = starter != 0 and os.getppid() != starter
        found = recorded()
        if found is not None:
            return all(found.get(key) == value for key, value in expected.items())
        if orphaned:
            return False
        time.sleep(pause_s)
        pause_s = min(0.01, 1.5 * pause_s)
    return False


def start(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    pump_of: Callable[[int], LogPump],
    begin: Optional[Callable[[], None]] = None,
) -> "Tuple[subprocess.Popen[bytes], LogPump]":
    """Start `argv` in a session of its own, its whole output pumped.

    `pump_of` makes the pump of a pipe, and `begin` is called in the new process. Its stdin is
    /dev/null. Raises OSError.
    """
    read_end, write_end = os.pipe()
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            close_fds=True,
            preexec_fn=begin,  # noqa: PLW1509 - no other thread runs yet
        )
    except OSError:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    pump = pump_of(read_end)
    pump.start()
    return child, pump


def bash() -> str:
    """The bash that runs commands of the user. Raises FileNotFoundError if there is none."""
    found = shutil.which("bash")
    if found is None:
        raise FileNotFoundError("the pod has no bash; run `wf bootstrap`")
    return found


def shell_script(folder: str, exported: Mapping[str, str], command: str) -> bytes:
    """The text of a ``command.sh``, which a person may run again.

    A pipeline in `command` fails if any of its parts does. Raises FileNotFoundError as `bash`.
    """
    lines = ["#!" + bash(), "set -o pipefail", "cd -- %s || exit 1" % shlex.quote(folder)]
    lines += ["export %s=%s" % (name, shlex.quote(exported[name])) for name in sorted(exported)]
    return ("\n".join([*lines, command]) + "\n").encode("utf-8")


def end_of(child: "subprocess.Popen[bytes]", keep: Callable[[int], None]) -> threading.Event:
    """An event that is set as soon as `child` has ended and is reaped.

    Before that `keep` gets its status. `child.wait` with a time-out only polls, which would delay a
    short row.
    """
    ended = threading.Event()

    def wait() -> None:
        status = process.wait_status(child.pid, keep=True)
        if status is not None:
            keep(status)
        child.wait()
        ended.set()

    threading.Thread(target=wait, name="end-of-child", daemon=True).start()
    return ended


def keep_reserve(folder: str) -> str:
    """Reserve space and inodes on the disk of `folder`; `give_reserve` frees them.

    A disk without inodes takes no result, just like a full one.
    """
    path = os.path.join(folder, ".reserve")
    os.mkdir(path, 0o700)
    for number in range(RESERVE_FILES):
        with open(os.path.join(path, str(number)), "wb") as f:
            f.write(b"\0" * RESERVE_BYTES)
    return path


def give_reserve(path: str) -> None:
    """Free what `keep_reserve` reserved at `path`."""
    shutil.rmtree(path, ignore_errors=True)


def shell_status(status: int) -> int:
    """An exit status as shells report it: 128 and the number of the signal that ended it."""
    return 128 - status if status < 0 else status
