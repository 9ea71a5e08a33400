"""Links that lose packets, go silent or carry what no SSH server says."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import LinkLost, Unreachable
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh import connect
from tests.support.agent_pod import config_values
from tests.support.network import Delay, NetworkSshd, PodNetwork, pod_network, why_not
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.pods.conftest import Client

needs_network = pytest.mark.skipif(bool(why_not()), reason=f"no bad network here: {why_not()}")


@pytest.fixture
def network() -> Iterator[PodNetwork]:
    """A network for one pod."""
    with pod_network() as made:
        yield made


@pytest.fixture
def far(client: Client, network: PodNetwork, tmp_path: Path) -> Iterator[Client]:
    """A client of an SSH server in that network."""
    (tmp_path / "far").mkdir()
    server = NetworkSshd(tmp_path / "far", network)
    yield client.of(server)
    server.stop()


@needs_network
@pytest.mark.fault("N5")
@pytest.mark.parametrize("limit_s", [5, pytest.param(20, marks=pytest.mark.long)])
def test_a_link_whose_packets_are_dropped_is_found_dead_idle_and_busy(
    far: Client, network: PodNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit_s: int
) -> None:
    monkeypatch.setattr(connect, "USER_TIMEOUT_S", limit_s)
    idle, busy = far.connect(), far.connect()
    done = tmp_path / "done"
    work = f"while [ ! -e {done}.go ]; do sleep 0.1; done; touch {done}"
    assert idle.run(["sh", "-c", f"setsid sh -c '{work}' > /dev/null 2>&1 &"], timeout_s=30).ok
    stream = busy.start(["sh", "-c", "while :; do echo line; sleep 0.1; done"])
    assert stream.read(100, timeout_s=30)
    network.drop()
    with pytest.raises(LinkLost):
        deque(iter(lambda: stream.read(100, timeout_s=60), b""), maxlen=0)
    until(lambda: not idle.is_alive(), "the idle link is found dead", timeout_s=30)
    Path(f"{done}.go").touch()
    until(done.exists, "what was detached goes on")
    for connection in (idle, busy):
        connection.close()


@needs_network
@pytest.mark.slow
@pytest.mark.fault("N7")
def test_over_a_lossy_slow_and_narrow_network_all_comes_right(
    far: Client, network: PodNetwork, tmp_path: Path
) -> None:
    data = os.urandom(300_000)
    run = tmp_path / "pod" / "outputs" / "a"
    run.mkdir(parents=True)
    (run / "summary.json").write_text("{}")
    (run / "model.bin").write_bytes(data)
    network.lose(5)
    network.narrow("1mbit")
    delay = Delay(far.server.host, far.server.port, 0.1)
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{delay.port} {far.server.host_key}\n")
    link = far.connect(
        ops_default_host=f"{far.server.user}@127.0.0.1:{delay.port}", ssh_known_hosts=known
    )
    values = config_values(tmp_path / "pod" / "outputs", tmp_path / "pod")
    with closing(AgentClient(link, values)) as agent:
        options = FetchOptions(tmp_path / "here", campaign_id="c-1")
        assert fetch_runs(agent, ["a"], options).runs["a"].verified
    assert (tmp_path / "here" / "a" / "model.bin").read_bytes() == data
    link.close()
    delay.close()


@pytest.mark.fault("N13")
@pytest.mark.parametrize(
    "says",
    [b"x" * 65536, b"x" * 255 + b"\n", b""],
    ids=["a line without an end", "lines without an end", "a reset"],
)
def test_a_banner_without_an_end_costs_its_time_and_little_memory(
    client: Client, says: bytes
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def talk() -> None:
            with closing(listener.accept()[0]) as sock, suppress(OSError):
                for _ in range((1 << 30) // max(len(says), 1) if says else 0):
                    sock.sendall(says)
                # a reset instead of an end, in the middle of the key exchange
                sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                sock.recv(4096)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=talk)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="does not answer as an SSH server"):
            client.connect(ops_default_host=f"root@127.0.0.1:{port}", ssh_connect_timeout_secs=3)
        thread.join(60)
        assert not thread.is_alive(), "the connection is closed"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 64 * 1024
