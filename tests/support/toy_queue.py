"""An executor of another make: a queue in a directory, served by a daemon with two slots.

``python toy_queue.py serve DIR`` is the daemon. ``python toy_queue.py WORDS...`` is the agent
with this executor in its table, where a line of ours would put it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.agent import process
from pytest_wf.agent.__main__ import main
from pytest_wf.agent.run.executor import EXECUTORS, Executor, Handle, Job

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOTS = 2
EXECUTORS["toy"] = f"{__name__}:ToyQueue"


class ToyQueue(Executor):
    """A job is a directory: ``job.json`` goes in; ``pid`` and ``ended`` come out."""

    ended: frozenset[str] = frozenset()

    @property
    def queue(self) -> Path:
        """The directory of the queue, beside the outputs."""
        return Path(self.settings.outputs).parent / "queue"

    def capacity(self) -> int:
        """A slot is a GPU."""
        return 1

    def start(self, job: Job) -> Handle | None:
        """Put the job into the queue, where there is always room."""
        share = self.share(job.gpus)
        assert share is not None
        # a toy: a real one keeps the spec off the disk, as it holds the secrets
        spec = job.prepare(share).decode()
        new = self.queue / f".{job.cookie}"
        new.mkdir(parents=True)
        body = {"dir": job.folder, "log": job.log_path, "spec": spec}
        (new / "job.json").write_text(json.dumps(body))
        new.rename(self.queue / job.cookie)
        return {"job": job.cookie}

    def poll(self, handles: Sequence[Handle]) -> None:
        """Look once at the whole queue."""
        self.ended = frozenset(path.parent.name for path in self.queue.glob("*/ended"))

    def is_alive(self, handle: Handle) -> bool:
        """Whether the daemon has not said that the job has ended."""
        name = handle["job"]
        return name not in self.ended and not (self.queue / name / "ended").exists()

    def cancel(self, cookie: str, handle: Handle | None, grace_s: float) -> list[int]:
        """Ask the daemon to drop or end the job, and wait until it has."""
        job = self.queue / cookie
        if not job.exists():
            return []
        (job / "cancel").touch()
        deadline = time.monotonic() + grace_s + 20
        while not (job / "ended").exists():
            if time.monotonic() > deadline:
                return [int((job / "pid").read_text())]
            time.sleep(0.02)
        return []


def serve(queue: Path) -> None:
    """Run the jobs of `queue` in their order, `SLOTS` at a time, until this process is ended."""
    running: dict[Path, subprocess.Popen[bytes]] = {}
    while True:
        for job, child in list(running.items()):
            if (job / "cancel").exists():
                process.kill_tree(job.name, process.identity(child.pid), 1.0)
            if child.poll() is not None:
                (job / "ended").touch()
                del running[job]
        waiting = [p.parent for p in queue.glob("[!.]*/job.json") if p.parent not in running]
        # two that came in one tick of the clock: by their names
        for job in sorted(waiting, key=lambda p: ((p / "job.json").stat().st_mtime_ns, p.name)):
            if (job / "cancel").exists():
                (job / "ended").touch()
            elif not (job / "ended").exists() and len(running) < SLOTS:
                running[job] = _begin(job)
        time.sleep(0.02)


def _begin(job: Path) -> subprocess.Popen[bytes]:
    asked = json.loads((job / "job.json").read_text())
    argv = process.agent_argv("attempt", asked["dir"])
    with open(asked["log"], "ab") as log:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log)
    (job / "pid").write_text(str(child.pid))
    assert child.stdin is not None
    child.stdin.write(asked["spec"].encode())
    child.stdin.close()
    return child


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    sys.exit(main(sys.argv[1:]))
