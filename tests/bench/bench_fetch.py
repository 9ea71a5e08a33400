"""Results home over a real sshd on loopback, beside what OpenSSH and SFTP do with the same."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config
from pytest_wf.config.reader import load
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.provider import SshProvider

TIMES = 3
GB = 1_000_000_000
#: 100 runs of 10 small files by the bash original, once repaired, in seconds.
ORIGINAL_S = 275


class Pod:
    """One connection to the server, and the same by the `ssh` command."""

    def __init__(self, sshd: Any, root: Path) -> None:
        self.outputs = root / "outputs"
        self.outputs.mkdir()
        self._sshd = sshd
        self._home = root
        config = self._config(root)
        provider = SshProvider(str(root))
        target = provider.resolve(config)
        assert target is not None
        self.link: SshConnection = provider.connect(target, config, str(root))
        self.client = AgentClient(self.link, config.values)

    def write(self, run_id: str, files: int, size: int) -> None:
        """A run of `files` incompressible files, a hundred in a directory."""
        for number in range(files):
            path = self.outputs / run_id / f"d{number // 100}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as f:
                for _ in range(max(1, size // 1_000_000)):
                    f.write(os.urandom(min(size, 1_000_000)))

    def fetch(self, here: Path, *run_ids: str) -> float:
        """Fetched, verified and synced to disk: seconds."""
        began = time.perf_counter()
        result = fetch_runs(self.client, run_ids, FetchOptions(here, "c-bench"))
        spent_s = time.perf_counter() - began
        assert all(run.verified for run in result.runs.values())
        return spent_s

    def ssh(self, command: str, receive: Sequence[str], *options: str) -> float:
        """`command` there, piped into `receive` here: seconds."""
        words = ["ssh", "-F", "none", "-o", "BatchMode=yes", *options]
        words += ["-o", f"UserKnownHostsFile={self._sshd.known_hosts_file}"]
        words += ["-i", str(self._sshd.identity_file), "-p", str(self._sshd.port)]
        began = time.perf_counter()
        sender = subprocess.Popen(
            [*words, f"{self._sshd.user}@{self._sshd.host}", command], stdout=subprocess.PIPE
        )
        assert sender.stdout is not None
        subprocess.run(receive, stdin=sender.stdout, check=True)
        sender.stdout.close()
        assert sender.wait() == 0
        return time.perf_counter() - began

    def sftp(self, run_id: str, here: Path, count: int) -> float:
        """The first `count` files, one by one, over the connection that is there: seconds."""
        import paramiko

        files = [f for f in (self.outputs / run_id).rglob("*") if f.is_file()]
        began = time.perf_counter()
        client = paramiko.SFTPClient.from_transport(self.link._link._transport)
        assert client is not None
        for file in files[:count]:
            place = here / file.relative_to(self.outputs)
            place.parent.mkdir(parents=True, exist_ok=True)
            client.get(str(file), str(place))
        client.close()
        return time.perf_counter() - began

    def close(self) -> None:
        self.client.close()
        self.link.close()

    def _config(self, root: Path) -> Config:
        text = (
            f"REPO_URL=.\nOPS_REMOTE_REPO={root}/repo\nOPS_REMOTE_OUTPUTS_DIR={self.outputs}\n"
            f"OPS_DEFAULT_HOST={self._sshd.user}@{self._sshd.host}:{self._sshd.port}\n"
            f"SSH_KNOWN_HOSTS={self._sshd.known_hosts_file}\n"
            f"SSH_IDENTITY_FILE={self._sshd.identity_file}\n"
            f"REMOTE_ENV_PATH={root}/project.env\n"
        )
        return load(
            read_entries(text.encode(), "workflow.env"),
            project_dir=str(root),
            needs_csv=False,
            needs_target=False,
        )


@pytest.fixture
def pod(make_sshd: Callable[..., Any], tmp_path: Path) -> Iterator[Pod]:
    (tmp_path / "pod").mkdir()
    made = Pod(make_sshd("Subsystem sftp internal-sftp"), tmp_path / "pod")
    yield made
    made.close()


def paired(*ways: Callable[[int], float]) -> list[list[float]]:
    """Each way once, then each again: what else the machine does falls on all of them."""
    rounds = [[way(number) for way in ways] for number in range(TIMES)]
    return [list(times) for times in zip(*rounds, strict=True)]


def ratios(spread: Callable[..., Any], of: Sequence[float], to: Sequence[float]) -> str:
    """How many times `to` as fast `of` was, pair by pair."""
    return str(spread([there / here for here, there in zip(of, to, strict=True)]))


def test_one_large_file(
    pod: Pod, tmp_path: Path, spread: Callable[..., Any], show: Callable[..., None]
) -> None:
    pod.write("big", 1, GB)
    file, sink = pod.outputs / "big" / "d0" / "f0", tmp_path / "sink"
    copy = ["dd", f"of={sink}", "bs=1M", "iflag=fullblock", "status=none"]

    peaks_mb = []

    def fetch(number: int) -> float:
        # the kernel's own peak, from here on
        Path("/proc/self/clear_refs").write_text("5")
        spent_s = pod.fetch(tmp_path / f"here{number}", "big")
        status = Path("/proc/self/status").read_text().splitlines()
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        peaks_mb.append(peak_kb / 1000)
        return spent_s

    def cat(*options: str, receive: Sequence[str] = copy) -> Callable[[int], float]:
        def run(number: int) -> float:
            sink.unlink(missing_ok=True)
            return pod.ssh(f"cat {file}", receive, *options)

        return run

    gcm = ("-c", "aes128-gcm@openssh.com")
    times = paired(fetch, cat(), cat(*gcm), cat(receive=[*copy, "conv=fsync"]))
    lines = [["", "MB/s", "fetch is so many times as fast"]]
    names = ("fetch, verified and synced", "ssh cat", "ssh cat, aes128-gcm", "ssh cat, synced")
    for name, of in zip(names, times, strict=True):
        rates = [GB / 1e6 / seconds for seconds in of]
        lines.append([name, str(spread(rates)), ratios(spread, times[0], of)])
    lines.append(["peak memory of this process, all of it, MB", str(spread(peaks_mb)), ""])
    show(f"one incompressible file of 1 GB, median of {TIMES} pairs (min-max)", lines)


def test_ten_thousand_small_files(
    pod: Pod, tmp_path: Path, spread: Callable[..., Any], show: Callable[..., None]
) -> None:
    pod.write("small", 10_000, 4096)

    def fetch(number: int) -> float:
        return pod.fetch(tmp_path / f"here{number}", "small")

    def tar(number: int) -> float:
        place = tmp_path / f"tar{number}"
        place.mkdir()
        return pod.ssh(f"tar -C {pod.outputs} -cf - small", ["tar", "-C", str(place), "-xf", "-"])

    def tar_synced(number: int) -> float:
        place = tmp_path / f"synced{number}"
        place.mkdir()
        spent_s = pod.ssh(
            f"tar -C {pod.outputs} -cf - small", ["tar", "-C", str(place), "-xf", "-"]
        )
        began = time.perf_counter()
        os.sync()
        return spent_s + time.perf_counter() - began

    def sftp(number: int) -> float:
        # a part is enough: all of them take many times as long as anything else here
        return 20 * pod.sftp("small", tmp_path / f"sftp{number}", 500)

    times = paired(fetch, tar, tar_synced, sftp)
    lines = [["", "s", "fetch is so many times as fast"]]
    names = ("fetch, verified and synced", "ssh tar", "ssh tar, synced", "SFTP, 20 x 500 of them")
    for name, of in zip(names, times, strict=True):
        lines.append([name, str(spread(of)), ratios(spread, times[0], of)])
    show(f"10,000 files of 4 KB, median of {TIMES} pairs (min-max)", lines)


def test_a_hundred_small_runs(
    pod: Pod, tmp_path: Path, spread: Callable[..., Any], show: Callable[..., None]
) -> None:
    names = [f"run{number:03d}" for number in range(100)]
    for name in names:
        pod.write(name, 10, 3000)
    times = [pod.fetch(tmp_path / f"here{number}", *names) for number in range(TIMES)]
    lines = [["", "s", "faster"]]
    lines.append(
        [
            "fetch, verified and synced",
            str(spread(times)),
            ratios(spread, times, [ORIGINAL_S] * TIMES),
        ]
    )
    lines.append(["bash original, repaired", f"{ORIGINAL_S:.2f}", ""])
    show(f"100 runs of 10 small files, median of {TIMES} (min-max)", lines)
