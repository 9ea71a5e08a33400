"""A fetch whose link is cut goes on from there: nothing whole is sent twice, no torso stays."""

from __future__ import annotations

import hashlib
import os
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import LinkLost, OperationFailed
from pytest_wf.fetch.fetch import FetchOptions, FetchResult, fetch_runs
from pytest_wf.fetch.local_runs import verified_runs
from pytest_wf.pods.ssh.handshake import WINDOW_BYTES

if TYPE_CHECKING:
    from tests.fetch.conftest import WiredPod

CAMPAIGN = "c-20260102T030405Z-abcdef"
MB = 1_000_000
#: A login, the start of an agent and a listing.
CONNECTION_BYTES = 64 * 1024
#: What may be on the way when the wire is cut: the window of a channel, and what it weighs
#: encrypted.
CUT_BYTES = WINDOW_BYTES + 64 * 1024


def write_run(folder: Path, sizes: dict[str, int], seed: int = 1) -> dict[str, str]:
    """A run of incompressible files; their digests."""
    chance = random.Random(seed)
    digests = {}
    for name, size in sizes.items():
        data = b"".join(chance.randbytes(size // 20) for _ in range(20))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def digests_of(folder: Path) -> dict[str, str]:
    """The digests of what stands in a fetched run."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "FETCHED.json"
    }


def bring(pod: WiredPod, dest: Path, **more: Any) -> FetchResult:
    return fetch_runs(pod.client, ["a"], FetchOptions(dest, CAMPAIGN, **more))


def never(dest: Path) -> Callable[[int, int], None]:
    """Looks, with every piece that comes, that no run stands there yet."""

    def look(done: int, total: int) -> None:
        assert not (dest / "a").exists()

    return look


@pytest.mark.fault("N4")
@pytest.mark.parametrize(
    "size", [pytest.param(20 * MB, id="20 MB"), pytest.param(300 * MB, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_a_cut_fetch_sends_only_what_was_missing(
    wired_pod: WiredPod, tmp_path: Path, size: int, percent: int
) -> None:
    sizes = {"ckpt/model.bin": size * 9 // 10, "b": size // 20, "c/d/e": size // 20, "empty": 0}
    digests = write_run(wired_pod.outputs / "a", sizes)
    here = tmp_path / "here"
    wire = wired_pod.wire
    before = wire.down
    wire.cut_after(size * percent // 100)
    result = bring(wired_pod, here, on_bytes=never(here))
    assert (wire.connections, result.runs["a"].verified) == (2, True)
    assert digests_of(here / "a") == digests
    assert os.listdir(here) == ["a"]
    spare = wire.down - before - size
    assert spare < size // 50 + 2 * CONNECTION_BYTES + CUT_BYTES, f"{spare} bytes too many"


def test_odd_names_links_and_holes_come_over_a_link_that_breaks(
    wired_pod: WiredPod, tmp_path: Path
) -> None:
    run = wired_pod.outputs / "a" / "out"
    run.mkdir(parents=True)
    names = [b"a\nb", b"b:0.npy", b"W.npy", b"w.npy", b"\xff", b"\x1b[31m"]
    for name in names:
        Path(os.fsdecode(os.fsencode(run) + b"/" + name)).write_bytes(name)
    (run / "best").symlink_to(run / "W.npy")
    middle = os.urandom(2 * MB)
    with open(run / "sparse", "wb") as f:
        f.seek(30 * MB)
        f.write(middle)
        f.truncate(60 * MB)
    wired_pod.wire.cut_after(MB)
    here = tmp_path / "here"
    assert bring(wired_pod, here).runs["a"].verified
    assert wired_pod.wire.connections == 2
    assert wired_pod.wire.down < 5 * MB, "holes cost next to nothing"
    assert (here / "a" / "out" / "sparse").read_bytes() == (run / "sparse").read_bytes()
    assert (here / "a" / "out" / "sparse").stat().st_blocks * 512 < 10 * MB
    assert (here / "a" / "out" / "best").read_bytes() == b"W.npy"
    come = os.listdir(os.fsencode(here / "a" / "out"))
    assert set(names) <= set(come)


@pytest.mark.fault("N4")
def test_another_process_goes_on_in_the_middle_of_a_file(
    wired_pod: WiredPod, tmp_path: Path
) -> None:
    digests = write_run(wired_pod.outputs / "a", {"big": 20 * MB})
    here = tmp_path / "here"
    wired_pod.patience.limit_s = 1  # no further connection leads anywhere
    wired_pod.on_connect = lambda: wired_pod.wire.cut_after(1)
    wired_pod.wire.cut_after(12 * MB)
    with pytest.raises(LinkLost):
        bring(wired_pod, here)
    assert not (here / "a").exists()
    assert (here / ".a.part" / "big").stat().st_size > 10 * MB, "what a cut may cost is less"
    wired_pod.on_connect = lambda: wired_pod.wire.cut_after(None)
    wired_pod.begin_anew()
    told: list[tuple[int, int]] = []
    bring(wired_pod, here, on_bytes=lambda *n: told.append(n))
    assert told[-1][0] == told[-1][1] < 10 * MB, "what was here is neither sent nor counted"
    assert digests_of(here / "a") == digests


def test_a_torso_that_is_not_the_pods_is_found_out_and_comes_anew(
    wired_pod: WiredPod, tmp_path: Path
) -> None:
    digests = write_run(wired_pod.outputs / "a", {"big": 4 * MB})
    here = tmp_path / "here"
    spoiled = []

    def spoil() -> None:
        torso = here / ".a.part" / "big"
        with open(torso, "r+b") as f:
            f.seek(1000)
            f.write(b"not what the pod sent")
        spoiled.append(torso.stat().st_size)

    wired_pod.on_connect = spoil
    wired_pod.wire.cut_after(3 * MB)
    assert bring(wired_pod, here).runs["a"].verified
    assert spoiled
    assert spoiled[0] > MB
    assert digests_of(here / "a") == digests


def test_a_file_that_changed_after_the_cut_comes_from_its_start(
    wired_pod: WiredPod, tmp_path: Path
) -> None:
    write_run(wired_pod.outputs / "a", {"big": 4 * MB})
    wired_pod.on_connect = lambda: new.update(
        write_run(wired_pod.outputs / "a", {"big": 4 * MB}, seed=2)
    )
    new: dict[str, str] = {}
    wired_pod.wire.cut_after(2 * MB)
    assert bring(wired_pod, tmp_path / "here").runs["a"].verified
    assert digests_of(tmp_path / "here" / "a") == new


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "text"])
def test_a_large_file_does_not_go_through_memory(
    wired_pod: WiredPod, tmp_path: Path, kind: str
) -> None:
    pieces = 256 if kind == "noise" else 1024
    (wired_pod.outputs / "a").mkdir()
    with open(wired_pod.outputs / "a" / "big", "wb") as f:
        for _ in range(pieces):
            f.write(os.urandom(MB) if kind == "noise" else b"step 1 loss 2.5\n" * (MB // 16))
    before_mb = resident_mb()
    peaks_mb = deque([before_mb], maxlen=1)
    run = bring(
        wired_pod,
        tmp_path / "here",
        on_bytes=lambda *counts: peaks_mb.append(max(peaks_mb[0], resident_mb())),
    ).runs["a"]
    assert (run.verified, run.bytes) == (True, pieces * MB)
    assert peaks_mb[0] - before_mb < 100


def resident_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


@pytest.mark.fault("N4")
@pytest.mark.parametrize("planned", [8, pytest.param(100, marks=pytest.mark.long)])
def test_cuts_at_random_bytes(wired_pod: WiredPod, tmp_path: Path, planned: int) -> None:
    sizes = {f"f{i}": 150_000 * (i % 3 + 1) for i in range(6)} | {f"s/{i}": 500 for i in range(20)}
    size = sum(sizes.values())
    digests = write_run(wired_pod.outputs / "a", sizes)
    chance = random.Random(7)
    wire = wired_pod.wire
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        cuts += 1
        wire.cut_after(chance.randrange(1, size) if cuts <= planned else None)

    wired_pod.on_connect = cut
    number = 0
    while cuts < planned:
        number += 1
        here = tmp_path / f"here{number}"
        cut()
        before, connections, come = wire.down, wire.connections, 0
        is_here = False
        while not is_here:
            told: deque[int] = deque([0], maxlen=1)
            try:
                bring(wired_pod, here, on_bytes=lambda done, total, to=told: to.append(done))
                is_here = True
            except (LinkLost, OperationFailed):
                assert not (here / "a").exists()
            come += told[-1]
        tries = wire.connections - connections + 1
        assert digests_of(here / "a") == digests
        assert verified_runs(here, CAMPAIGN, digests=True) == {"a"}
        assert os.listdir(here) == ["a"]
        # of a payload of 1.8 MB, only tails of files below 64 KB are sent again
        assert come <= size + 64 * 1024 * tries
        assert wire.down - before < size + tries * (CONNECTION_BYTES + CUT_BYTES)
    assert cuts >= planned


def test_text_travels_compressed_and_goes_on_in_its_middle(
    wired_pod: WiredPod, tmp_path: Path
) -> None:
    chance = random.Random(3)
    lines = (f"step {n} loss {chance.random():.4f} lr 3.0e-04\n" for n in range(200_000))
    text = "".join(lines).encode()
    (wired_pod.outputs / "a").mkdir()
    (wired_pod.outputs / "a" / "stdout.log").write_bytes(text)
    before = wired_pod.wire.down
    wired_pod.wire.cut_after(MB)
    told: list[int] = []
    bring(wired_pod, tmp_path / "here", on_bytes=lambda done, total: told.append(done))
    assert (tmp_path / "here" / "a" / "stdout.log").read_bytes() == text
    assert wired_pod.wire.connections == 2
    assert wired_pod.wire.down - before < len(text) / 2
    assert told[-1] == len(text), "nothing came twice"
