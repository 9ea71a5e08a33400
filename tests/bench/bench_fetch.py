"""Results home over a real sshd on loopback, beside what tar, rsync and ssh do with the same."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config
from pytest_wf.config.reader import load
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.bench.cpu import Group
from tests.support.bench.figures import CPU, WALL, Figures, Way, alternate
from tests.support.bench.projects import measured
from tests.support.sshd import Sshd

GB = 1_000_000_000


class Pod:
    """A server with run directories, and the ways to bring them here.

    Each way connects anew, and leaves the last time's files to be removed before the next.
    """

    def __init__(self, sshd: Sshd, group: Group, root: Path) -> None:
        self.outputs = root / "outputs"
        self.outputs.mkdir(parents=True)
        self.here = root / "here"
        self._sshd, self._group = sshd, group
        self._root = root
        self._ssh = shlex.join(
            [
                *("ssh", "-F", "none", "-o", "BatchMode=yes", "-i", str(sshd.identity_file)),
                *("-o", f"UserKnownHostsFile={sshd.known_hosts_file}", "-p", str(sshd.port)),
            ]
        )
        self._host = f"{sshd.user}@{sshd.host}"

    def write(self, run_id: str, files: int, size: int) -> None:
        """A run of `files` incompressible files, a hundred in a directory."""
        for number in range(files):
            path = self.outputs / run_id / f"d{number // 100}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as f:
                for _ in range(max(1, size // 1_000_000)):
                    f.write(os.urandom(min(size, 1_000_000)))

    def fetch(self, *run_ids: str) -> Way:
        """Fetched, verified and synced to disk."""

        def run(number: int) -> dict[str, float]:
            self._clear()
            cost: dict[str, float] = {}
            before = resource.getrusage(resource.RUSAGE_SELF)
            with measured(self._group, cost):
                self._fetch(run_ids)
            after = resource.getrusage(resource.RUSAGE_SELF)
            # this side of it is this process
            cost[CPU] += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return cost

        return run

    def shell(self, command: str) -> Way:
        """A command line of bash, in which {ssh}, {host}, {outputs} and {here} are replaced."""
        words = {"host": self._host, "outputs": self.outputs, "here": self.here}

        def run(number: int) -> dict[str, float]:
            self._clear()
            cost: dict[str, float] = {}
            line = command.format(ssh=self._ssh, quoted_ssh=shlex.quote(self._ssh), **words)
            with measured(self._group, cost):
                subprocess.run(
                    [*self._group.inside, "bash", "-euo", "pipefail", "-c", line], check=True
                )
            return cost

        return run

    def _clear(self) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()
        os.sync()  # what is still to be written of the way before is not this one's work

    def _fetch(self, run_ids: Sequence[str]) -> None:
        config = self._config()
        provider = SshProvider(str(self._root))
        target = provider.resolve(config)
        assert target is not None
        connection = provider.connect(target, config, str(self._root))
        client = AgentClient(connection, config.values)
        try:
            result = fetch_runs(client, run_ids, FetchOptions(self.here, "c-bench"))
        finally:
            client.close()
            connection.close()
        assert all(run.verified for run in result.runs.values())

    def _config(self) -> Config:
        root, sshd = self._root, self._sshd
        text = (
            f"REPO_URL=.\nOPS_REMOTE_REPO={root}/repo\nOPS_REMOTE_OUTPUTS_DIR={self.outputs}\n"
            f"OPS_DEFAULT_HOST={self._host}:{sshd.port}\n"
            f"SSH_KNOWN_HOSTS={sshd.known_hosts_file}\nSSH_IDENTITY_FILE={sshd.identity_file}\n"
            f"REMOTE_ENV_PATH={root}/project.env\n"
        )
        return load(
            read_entries(text.encode(), "workflow.env"),
            project_dir=str(root),
            needs_csv=False,
            needs_target=False,
        )


@pytest.fixture
def pod(new_pod: Callable[..., tuple[Sshd, Group]], tmp_path: Path) -> Pod:
    sshd, group = new_pod()
    return Pod(sshd, group, tmp_path / "pod")


TAR = "{ssh} {host} tar -C {outputs} -cf - . | tar -C {here} -xf -"
RSYNC = "rsync -a -e {quoted_ssh} {host}:{outputs}/ {here}/"
#: Compared once more by the content, as only that says that what is here is what was there.
RSYNC_CHECKED = f"{RSYNC}; rsync -a --checksum -e {{quoted_ssh}} {{host}}:{{outputs}}/ {{here}}/"
SYNCED = "; sync -f {here}"


@pytest.mark.timeout(900)
def test_one_large_file(pod: Pod, figures: Figures, times: int) -> None:
    pod.write("big", 1, GB)
    cat = (
        "{ssh} %s {host} cat {outputs}/big/d0/f0 | dd of={here}/f bs=1M iflag=fullblock status=none"
    )
    ways = {
        "fetch, verified and synced": with_rate(pod.fetch("big")),
        "ssh cat": with_rate(pod.shell(cat % "")),
        "ssh cat, aes128-gcm": with_rate(pod.shell(cat % "-c aes128-gcm@openssh.com")),
        "ssh cat, synced": with_rate(pod.shell(cat % "" + " conv=fsync")),
        "rsync": with_rate(pod.shell(RSYNC)),
        "rsync, then rsync --checksum, synced": with_rate(pod.shell(RSYNC_CHECKED + SYNCED)),
    }
    figures.add("one incompressible file of 1 GB", alternate(ways, times))


@pytest.mark.timeout(900)
def test_ten_thousand_small_files(pod: Pod, figures: Figures, times: int) -> None:
    pod.write("small", 10_000, 4096)
    figures.add("10,000 files of 4 KB", alternate(small_ways(pod, ["small"]), times))


@pytest.mark.timeout(900)
def test_a_hundred_small_runs(pod: Pod, figures: Figures, times: int) -> None:
    names = [f"run{number:03d}" for number in range(100)]
    for name in names:
        pod.write(name, 10, 3000)
    figures.add("100 runs of 10 files of 3 KB", alternate(small_ways(pod, names), times))


def small_ways(pod: Pod, run_ids: Sequence[str]) -> dict[str, Way]:
    """The ways to bring many small files."""
    return {
        "fetch, verified and synced": pod.fetch(*run_ids),
        "ssh tar": pod.shell(TAR),
        "ssh tar, synced": pod.shell(TAR + SYNCED),
        "rsync": pod.shell(RSYNC),
        "rsync, synced": pod.shell(RSYNC + SYNCED),
        "rsync, then rsync --checksum, synced": pod.shell(RSYNC_CHECKED + SYNCED),
    }


def with_rate(way: Way) -> Way:
    """The same with its rate, for a gigabyte."""

    def run(number: int) -> dict[str, float]:
        cost = dict(way(number))
        return {**cost, "MB/s": GB / 1e6 / cost[WALL]}

    return run
