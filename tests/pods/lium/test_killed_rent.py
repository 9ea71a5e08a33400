"""kill -9 of whoever rents or ends a pod, at every request that it makes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import Node
from tests.pods.conftest import SHORT_LIUM_TIMING
from tests.support import ROOT

Renters = Callable[..., Any]

#: Imports everything once, then forks a process for each line: the child rents or ends.
_FORKER = """
import json, os, sys
from pathlib import Path
from pytest_wf.config.reader import load
from pytest_wf.config.dotenv import read_entries
from pytest_wf.pods.base import Target
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.lium.api import LiumAccount, import_sdk
from pytest_wf.pods.lium.config_keys import LiumKeys
from pytest_wf.config.keys import KEYS, keys_of
from pytest_wf.pods.rental.timing import Timing
import requests
lium = import_sdk()
for line in iter(sys.stdin.readline, ""):
    job = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)
        continue
    try:
        settings = lium.Config(
            api_key=job["key"], base_url=job["url"], ssh_key_path=Path(job["ssh_key"])
        )
        provider = LiumProvider(lambda c, p: LiumAccount(settings), Timing(**job["pace"]))
        reading = read_entries(job["config"].encode(), "workflow.env")
        config = load(reading, project_dir=job["project"], keys=KEYS + keys_of(LiumKeys, "lium"),
                      needs_csv=False, needs_target=False)
        if job["pod"]:
            provider.delete(Target("lium", job["pod"]), config, job["project"])
        else:
            flow = "f-20260102T030405Z-abc123"
            provider.rent(config, flow, lambda text: None, job["project"])
    finally:
        os._exit(0)
"""
_CONFIG = (
    "REPO_URL=https://example.com/repo.git\nOPS_REMOTE_REPO=/srv/repo\n"
    "OPS_REMOTE_OUTPUTS_DIR=/srv/outputs\nLIUM_TTL=1h\n"
)
_PACE = {"poll_s": 0.05, "settle_s": 0.5, "delete_s": 2.0, "schedule_s": 1.0, "answer_s": 5.0}
_PACE |= {"requests": 100_000}


class Forker:
    """Processes that rent and end, made fast."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def run(self, it: Any, pod: str, at: int, moment: str) -> None:
        """Rent (or end `pod`) in a process of its own, killed at request `at`."""
        pids: queue.Queue[int] = queue.Queue()
        answered = threading.Event()

        def strike(number: int, route: str, now: str) -> None:
            if number != at:
                return
            if now == moment:
                answered.clear()
                os.kill(pids.get(timeout=60), signal.SIGKILL)
            if now == "after":
                answered.set()

        it.api.requests.clear()
        it.api.watch = strike
        answered.set()
        job = {
            "key": it.api.api_key,
            "url": it.api.base_url,
            "ssh_key": str(it.key),
            "project": str(it.project),
            "config": _CONFIG,
            "pace": _PACE,
            "pod": pod,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        pids.put(int(self._process.stdout.readline()))
        assert self._process.stdout.readline() == "ended\n"
        # the account carries a request out, whatever became of the process that sent it
        assert answered.wait(60)
        it.api.watch = lambda number, route, moment: None

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture
def forkers(tmp_path: Path) -> Iterator[queue.Queue[Forker]]:
    """Four forkers, to be taken and given back."""
    root = str(ROOT)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": root, "HOME": str(tmp_path)}
    made = [Forker({**environ, "NO_PROXY": "127.0.0.1"}) for _ in range(4)]
    free: queue.Queue[Forker] = queue.Queue()
    for forker in made:
        free.put(forker)
    yield free
    for forker in made:
        forker.close()


def _disown(it: Any) -> None:
    """As if the process that rented were gone: here it is this one."""
    for rental in it.journal.rentals():
        it.journal.update(rental, owner={})


def test_whoever_is_killed_while_renting_leaves_one_known_pod_at_most(
    lium_renter: Renters, forkers: queue.Queue[Forker]
) -> None:
    whole = lium_renter(nodes=[Node(), Node()])
    forker = forkers.get(timeout=60)
    forker.run(whole, "", -1, "")
    forkers.put(forker)
    requests = len(whole.api.requests)
    assert requests >= 12

    def kill(at: int, moment: str) -> int:
        it = lium_renter(nodes=[Node(), Node()], timing=SHORT_LIUM_TIMING, lium_ttl="1h")
        forker = forkers.get(timeout=60)
        forker.run(it, "", at, moment)
        forkers.put(forker)
        left = {pod.id for pod in it.api.account.billed()}
        assert left == set(it.standing()), (at, moment)
        assert "held" not in it.standing().values()
        again = it.rent("f-20260102T030405Z-ffffff")
        assert left <= {again.target.name}, (at, moment)
        assert [pod.id for pod in it.api.account.billed()] == [again.target.name]
        assert it.api.account.most_billed == 1, (at, moment)
        assert it.api.account.billed()[0].removal_at is not None
        return len(left)

    points = [(at, moment) for at in range(requests) for moment in ("before", "after")]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda point: kill(*point), points))
    assert 0 < sum(found) < len(points)


def test_whoever_is_killed_while_ending_a_pod_leaves_it_known_or_gone(
    lium_renter: Renters, forkers: queue.Queue[Forker]
) -> None:
    def kill(at: int, moment: str) -> int:
        it = lium_renter(nodes=[Node(), Node()], timing=SHORT_LIUM_TIMING)
        pod = it.rent().target.name
        _disown(it)
        forker = forkers.get(timeout=60)
        forker.run(it, pod, at, moment)
        forkers.put(forker)
        left = {pod.id for pod in it.api.account.billed()}
        assert left == set(it.standing()) and left <= {pod}
        again = it.rent("f-20260102T030405Z-ffffff")
        assert left <= {again.target.name}
        assert it.api.account.most_billed == 1
        return len(it.api.requests)

    points = [(at, moment) for at in range(4) for moment in ("before", "after")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda point: kill(*point), points))
