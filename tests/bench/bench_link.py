"""Bytes over the link while one row of a campaign logs ten lines a second."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures
from tests.support.bench.projects import Project
from tests.support.sshd import Sshd
from tests.support.waiting import until
from tests.support.wire import Wire

COUNTS = (10, 1000)
LARGE = 10_000
WINDOW_S = 10
#: The first row logs until the file `stop` is there; the others wait for it.
TRAINER = """\
import os, sys, time

settings = dict(word.split("=", 1) for word in sys.argv[2:])
os.makedirs(settings["out_dir"], exist_ok=True)
step = 0
while not os.path.exists(settings["stop"]):
    step += 1
    print("step %d | loss %.5f | lr 3.0e-04 | 51234 tokens/s" % (step, 3 / step), flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def new_wire() -> Iterator[Callable[[Sshd], Wire]]:
    """Makes ways to a server that count their bytes."""
    made: list[Wire] = []

    def new(sshd: Sshd) -> Wire:
        made.append(Wire(sshd.port))
        return made[-1]

    yield new
    for wire in made:
        wire.close()


@pytest.mark.timeout(1800)
def test_the_bytes_of_a_row_that_logs(
    times: int,
    count: int,
    figures: Figures,
    new_pod: Callable[..., tuple[Sshd, Group]],
    new_wire: Callable[[Sshd], Wire],
    tmp_path: Path,
) -> None:
    sshd, group = new_pod()
    folder = tmp_path / str(count)
    rows = [f"run-{n:05d},default.py,1,stop={folder}/stop," for n in range(count)]
    project = Project(folder / "project", rows, group, trainer=TRAINER)
    watched, tail = new_wire(sshd), new_wire(sshd)
    project.use_pod(sshd, folder / "pod", watched.port)
    log = folder / "pod/outputs/run-00000/attempts/1/stdout.log"
    flow = subprocess.Popen(
        project.command("--wf-wait=true", "-q"),
        cwd=project.root,
        env=project.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    tailed = None
    try:
        until(log.exists, "the first row logs", 600)
        tailed = subprocess.Popen(
            [*ssh(sshd, tail.port, folder), f"tail -F {log}"], stdout=subprocess.DEVNULL
        )
        time.sleep(5)  # what a start sends is not what is measured
        ours, by_hand = [], []
        for _ in range(times):
            before = bytes_of(watched), bytes_of(tail)
            time.sleep(WINDOW_S / times)
            ours.append({"kB/s": kb_per_s(bytes_of(watched) - before[0], times)})
            by_hand.append({"kB/s": kb_per_s(bytes_of(tail) - before[1], times)})
    finally:
        flow.send_signal(signal.SIGINT)
        flow.wait(300)
        if tailed is not None:
            tailed.kill()
            tailed.wait()
        project.wf("sweep-stop")
        (folder / "stop").touch()
    costs = {"flow that waits": ours, "ssh tail -F": by_hand}
    figures.add(f"a row that logs 10 lines a second, of {count} rows", costs, "both ways")


def bytes_of(wire: Wire) -> int:
    """What has crossed it, both ways."""
    return wire.up + wire.down


def kb_per_s(count: int, times: int) -> float:
    return count / 1000 / (WINDOW_S / times)


def ssh(sshd: Sshd, port: int, folder: Path) -> list[str]:
    """The words of ssh over a wire."""
    known_hosts = folder / "known_hosts_of_tail"
    known_hosts.write_text(f"[{sshd.host}]:{port} {sshd.host_key}\n")
    words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-i", str(sshd.identity_file)]
    return [*words, "-o", f"UserKnownHostsFile={known_hosts}", "-p", str(port), sshd.host]
