"""A fetch under bad conditions: full disks on either side, a run that goes on, large files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import fsm
from tests.support.agent_pod import config_values
from tests.support.growing_log import growing

CAMPAIGN = "c-20260102T030405Z-abcdef"
MB = 1_000_000

#: Fetches run a in a process of its own, whose files may not outgrow a limit, and tells its
#: peak of memory in MB, or the kind of the failure.
_FETCH = """\
import json, resource, sys
from pathlib import Path
from pytest_wf.errors import OperationFailed
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from pytest_wf.pods.base import Target
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.local import LocalConnection

values, here, campaign, limit = json.loads(sys.argv[1])
connection = LocalConnection(Target("local", "local"))
client = AgentClient(connection, values)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    run = fetch_runs(client, ["a"], FetchOptions(Path(here), campaign)).runs["a"]
    # not ru_maxrss: that one remembers the process that this one was forked from
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    print(json.dumps([run.verified, peak_kb / 1000]))
except OperationFailed as e:
    print(json.dumps([e.kind, str(e)]))
client.close()
connection.close()
"""


class Pod:
    """An agent on this machine and its outputs directory."""

    def __init__(self, outputs: Path, elsewhere: Path) -> None:
        self.outputs = outputs
        outputs.mkdir(parents=True, exist_ok=True)
        self.values = config_values(outputs, elsewhere)
        self._connection = LocalConnection(Target("local", "local"))
        self.client = AgentClient(self._connection, self.values)

    def write(self, name: str, data: bytes, run_id: str = "a") -> None:
        path = self.outputs / run_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def bring(self, here: Path, **more: Any) -> Any:
        """Run a, fetched by this process."""
        return fetch_runs(self.client, ["a"], FetchOptions(here, CAMPAIGN, **more)).runs["a"]

    def bring_apart(self, here: Path, limit: int = 0) -> list[Any]:
        """Run a, fetched by a process of its own."""
        told = json.dumps([self.values, str(here), CAMPAIGN, limit])
        done = subprocess.run(
            [sys.executable, "-c", _FETCH, told], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        answer: list[Any] = json.loads(done.stdout)
        return answer

    def hold(self) -> None:
        """Take the pod's lease."""
        self.client.token = self.client.request("lease-take", {"owner": {"host": "here"}})["token"]

    def close(self) -> None:
        self.client.close()
        self._connection.close()


@pytest.fixture
def make_pod(tmp_path: Path) -> Iterator[Callable[[Path], Pod]]:
    pods: list[Pod] = []

    def make(outputs: Path) -> Pod:
        pods.append(Pod(outputs, tmp_path))
        return pods[-1]

    yield make
    for pod in pods:
        pod.close()


@pytest.fixture
def pod(make_pod: Callable[[Path], Pod], tmp_path: Path) -> Pod:
    return make_pod(tmp_path / "pod")


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")


@pytest.mark.fault("C8")
def test_a_local_file_that_cannot_grow_stops_clearly_and_is_gone_on_with(
    pod: Pod, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    pod.write("old", b"old")
    assert pod.bring(here).verified
    data = os.urandom(5 * MB)
    pod.write("big", data)
    kind, told = pod.bring_apart(here, limit=3 * MB)
    assert (kind, "what arrived is kept" in told) == ("local-disk", True)
    assert sorted(os.listdir(here / "a")) == ["FETCHED.json", "old"]
    assert (here / ".a.part" / "big").stat().st_size == 3 * MB
    come: list[int] = []
    assert pod.bring(here, on_bytes=lambda done, total: come.append(done)).verified
    assert come[-1] == 2 * MB, "of the large file, only the rest; the old one is here"
    assert (here / "a" / "big").read_bytes() == data


@pytest.mark.fault("C8")
@only_root
def test_a_local_disk_that_fills_in_mid_fetch_keeps_the_old_run_whole(
    pod: Pod, small_disk: Path, tmp_path: Path
) -> None:
    pod.write("x", b"old")
    pod.bring(small_disk)
    data = os.urandom(3 * MB)
    pod.write("x", data)
    filler = small_disk / "filler"

    def fill_some(done: int, total: int) -> None:
        if not filler.exists():
            filler.write_bytes(bytes(2 * MB))

    with pytest.raises(OperationFailed, check=lambda e: e.kind == "local-disk") as failed:
        pod.bring(small_disk, on_bytes=fill_some)
    assert "No space left" in str(failed.value)
    assert (small_disk / "a" / "x").read_bytes() == b"old"
    assert verified_runs(small_disk, CAMPAIGN, digests=True) == {"a"}
    (small_disk / "a" / "x").unlink()
    filler.unlink()
    assert pod.bring(small_disk).verified
    assert (small_disk / "a" / "x").read_bytes() == data


def fill(place: Path) -> Path:
    """A file that takes all the room that is left at `place`."""
    filler = place / "filler"
    with open(filler, "ab", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    assert os.statvfs(place).f_bavail == 0
    return filler


@only_root
def test_a_pod_disk_that_fills_in_mid_fetch_keeps_nothing_from_coming_home(
    make_pod: Callable[[Path], Pod], small_disk: Path, tmp_path: Path
) -> None:
    pod = make_pod(small_disk / "outputs")
    data = os.urandom(MB)
    pod.write("x", data)
    assert pod.bring(tmp_path / "here", on_bytes=lambda *n: fill(small_disk)).verified
    assert (tmp_path / "here" / "a" / "x").read_bytes() == data


@pytest.fixture
def full_pod(make_pod: Callable[[Path], Pod], small_disk: Path) -> Pod:
    """A pod whose sweep is over and whose disk is full."""
    pod = make_pod(small_disk / "outputs")
    pod.write("x", os.urandom(MB))
    pod.hold()
    pod.client.request("config-sync")
    pod.client.request("fsm-reset", {"state": fsm.SWEEP_COMPLETED})
    pod.client.request("lease-drop")
    fill(small_disk)
    return pod


@pytest.mark.fault("D1")
@only_root
def test_from_a_full_pod_disk_everything_comes_home(full_pod: Pod, tmp_path: Path) -> None:
    full_pod.hold()
    begun = full_pod.client.request("fetch-begin")
    assert (begun["state"], begun["unwritten"]) == (fsm.ARTIFACTS_FETCHING, "")
    assert full_pod.bring(tmp_path / "here").verified
    full_pod.client.request("lease-renew")
    ended = full_pod.client.request("fetch-end", {"synced": True})
    assert (ended["state"], ended["unwritten"]) == (fsm.ARTIFACTS_SYNCED, "")
    full_pod.client.request("lease-drop")


@pytest.mark.fault("D1")
@only_root
def test_without_room_for_the_pods_state_it_stays_and_the_results_come(
    full_pod: Pod, small_disk: Path, tmp_path: Path
) -> None:
    full_pod.hold()
    control = full_pod.outputs / "_control"
    for spare in (control / "reserve", *control.glob("*.copy")):
        spare.unlink()  # a copy would give its room to the file
    filler = fill(small_disk)
    begun = full_pod.client.request("fetch-begin")
    assert begun["state"] == fsm.SWEEP_COMPLETED
    state_file = str(full_pod.outputs / "_control" / "workflow_state.json")
    assert f"cannot write {state_file}" in begun["unwritten"]
    assert os.uname().nodename in begun["unwritten"]
    assert full_pod.bring(tmp_path / "here").verified
    assert full_pod.client.request("fetch-end", {"synced": True})["state"] == fsm.SWEEP_COMPLETED
    lease_file = full_pod.outputs / "_control" / "lease.json"
    held = lease_file.read_bytes()
    with pytest.raises(OperationFailed, check=lambda e: e.kind == "pod-disk") as refused:
        full_pod.client.request("lease-renew")
    assert f"{os.uname().nodename} cannot write {lease_file}" in str(refused.value)
    assert lease_file.read_bytes() == held, "the old record is whole"
    filler.unlink()
    full_pod.client.request("lease-renew")
    assert full_pod.client.request("fetch-begin")["state"] == fsm.ARTIFACTS_FETCHING
    assert full_pod.bring(tmp_path / "here").verified
    assert full_pod.client.request("fetch-end", {"synced": True})["state"] == fsm.ARTIFACTS_SYNCED
    assert (full_pod.outputs / "_control" / "reserve").stat().st_blocks * 512 >= 256 * 1024


def test_a_run_that_is_still_writing_is_taken_as_it_was_and_marked(
    pod: Pod, tmp_path: Path
) -> None:
    pod.write("done.bin", os.urandom(3 * MB))
    pod.write("stdout.log", b"")
    log = pod.outputs / "a" / "stdout.log"
    with growing(log, pod.client):
        run = pod.bring(tmp_path / "here")
    assert not run.verified
    assert [one.path for one in run.missing] == ["stdout.log"]
    assert "changed" in run.missing[0].why
    record = json.loads((tmp_path / "here" / "a" / "FETCHED.json").read_text())
    assert record["whole"] is False
    assert verified_runs(tmp_path / "here", CAMPAIGN) == set()
    come = (tmp_path / "here" / "a" / "stdout.log").read_bytes()
    assert log.read_bytes().startswith(come), "as it was when it was listed"
    assert pod.bring(tmp_path / "here").verified, "now it has ended"


def test_of_a_run_that_is_here_only_what_changed_is_sent_again(pod: Pod, tmp_path: Path) -> None:
    here = tmp_path / "here"
    contents = {"d/kept.bin": os.urandom(2 * MB), "kept": b"k", "rotten": b"r" * 100, "log": b"1"}
    for name, data in contents.items():
        pod.write(name, data)
    assert pod.bring(here).verified
    pod.write("log", b"1\n2")
    pod.write("new", b"new")
    (pod.outputs / "a" / "kept").chmod(0o600)
    (here / "a" / "rotten").write_bytes(b"R" * 100)
    standing: list[bytes] = []
    come: list[tuple[int, int]] = []

    def look(*counts: int) -> None:
        come.append((counts[0], counts[1]))
        standing.append(
            (here / "a" / "log").read_bytes() + (here / "a" / "d/kept.bin").read_bytes()
        )

    assert pod.bring(here, on_bytes=look).verified
    assert come[-1] == (3 + 3 + 100, 3 + 3 + 100), "what is new, changed or rotten here"
    assert set(standing) == {b"1" + contents["d/kept.bin"]}, "until then the old run is whole"
    assert verified_runs(here, CAMPAIGN, digests=True) == {"a"}
    assert sorted(os.listdir(here)) == [".superseded", "a"]
    now = contents | {"log": b"1\n2", "new": b"new"}
    assert {name: (here / "a" / name).read_bytes() for name in now} == now
    (pod.outputs / "a" / "kept").unlink()
    come.clear()
    assert pod.bring(here, on_bytes=look).verified
    assert come == [], "nothing is sent where something is only gone"
    assert not (here / "a" / "kept").exists()


def test_a_file_that_was_torn_is_never_taken_for_the_pods(pod: Pod, tmp_path: Path) -> None:
    here = tmp_path / "here"
    data = os.urandom(2 * MB)
    pod.write("x", data)
    stat = (pod.outputs / "a" / "x").stat()

    def spoil(done: int, total: int) -> None:
        pod.write("x", data[:-1] + b"?")

    assert not pod.bring(here, on_bytes=spoil).verified
    os.utime(pod.outputs / "a" / "x", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert pod.bring(here).verified
    assert (here / "a" / "x").read_bytes() == data[:-1] + b"?"


def test_a_file_that_appears_while_a_run_is_fetched_makes_it_no_verified_one(
    pod: Pod, tmp_path: Path
) -> None:
    pod.write("x", b"x")
    run = pod.bring(tmp_path / "here", on_bytes=lambda *n: pod.write("new", b"later"))
    assert (run.verified, [one.path for one in run.missing]) == (False, ["new"])


@pytest.mark.slow
def test_large_files_do_not_go_through_memory(pod: Pod, tmp_path: Path) -> None:
    (pod.outputs / "a").mkdir()
    with open(pod.outputs / "a" / "big", "wb") as f:
        f.truncate(1000 * MB)
    verified, peak_mb = pod.bring_apart(tmp_path / "here")
    assert verified
    assert peak_mb < 200
