"""An agent's process that starts a program which tells what it inherited: ``LOG WORDS...``.

The program is in this process alone, so that a new Python would not know it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path
from typing import BinaryIO

from pytest_wf.agent import forks, process, programs


def probe(words: list[str], stdin: BinaryIO) -> int:
    """Say on stdout what this process is."""
    links = [f"/proc/self/fd/{name}" for name in sorted(os.listdir("/proc/self/fd"))]
    told = {
        "words": words,
        "stdin": stdin.read().decode(),
        "leads": os.getsid(0) == os.getpid(),
        "open": [os.readlink(link) for link in links if os.path.exists(link)],
        "argv": Path("/proc/self/cmdline").read_text().rstrip("\0").split("\0"),
        "handles": [n.name for n in signal.Signals if callable(signal.getsignal(n))],
        "children": process.is_child({"pid": int(words[0])}),
        "cwd": os.getcwd(),
        "cookie": os.environ.get(process.COOKIE),
        "parent": os.getppid(),
    }
    print(json.dumps(told))
    sys.exit(0)


def main() -> None:
    """Start the probe, and end when it has."""
    log = sys.argv[1]
    module = types.ModuleType("pytest_wf.agent.probe")
    module.__dict__["probe"] = probe
    sys.modules[module.__name__] = module
    programs.PROGRAMS["probe"] = ("probe", "probe")
    forks.allow()
    if "helper" in sys.argv:
        forks.keep_helper()
    # what must not be inherited
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(os.open(log + ".kept", os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK))
    sleeper = process.spawn_session(["sleep", "600"], log_path=log)
    if "threads" in sys.argv:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    known = forks.start(
        ("probe", str(sleeper["pid"])),
        log_path=log,
        stdin=b"told on stdin",
        cwd="/",
        cookie="c" if "helper" in sys.argv else "",
    )
    while process.is_alive(known):
        time.sleep(0.002)
    process.wait_for_threads(known)
    process.kill_tree("", sleeper, 0)
    assert not process.is_child(known), "it is reaped"


if __name__ == "__main__":
    main()
