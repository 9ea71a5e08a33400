"""One question to the agent and its answer, on this machine and over ssh."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.reader import load
from pytest_wf.pods.local import LocalProvider
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh.provider import SshProvider

TIMES = 200

CONFIG = """\
OPS_DEFAULT_HOST={host}
OPS_REMOTE_REPO={pod}/repo
OPS_REMOTE_OUTPUTS_DIR={pod}/outputs
REPO_URL=.
SSH_IDENTITY_FILE={identity}
SSH_KNOWN_HOSTS={known_hosts}
"""


def test_a_state_request(
    show: Callable[..., None], sshd: Any, tmp_path: Path, client_home: Path
) -> None:
    lines = [["", "start ms", "p50 ms", "p95 ms", "max ms"]]
    ssh = f"{sshd.user}@{sshd.host}:{sshd.port}"
    for name, provider, host in (("local", LocalProvider(), "local"), ("ssh", SshProvider(), ssh)):
        text = CONFIG.format(
            host=host,
            pod=tmp_path / name,
            identity=sshd.identity_file,
            known_hosts=sshd.known_hosts_file,
        )
        config = load(
            read_entries(text.encode(), "workflow.env"),
            project_dir=str(tmp_path),
            needs_csv=False,
            needs_target=False,
        )
        target = provider.resolve(config)
        assert target is not None
        with ExitStack() as stack:
            connection = provider.connect(target, config, str(tmp_path))
            stack.enter_context(closing(connection))
            stack.enter_context(closing(AgentClient(connection, config.values)))
            began = time.perf_counter()
            client = stack.enter_context(closing(AgentClient(connection, config.values)))
            start_ms = (time.perf_counter() - began) * 1000
            spent_ms = sorted(_asked(client) for _ in range(TIMES))
            assert client.round_trips == 1 + TIMES  # the first is its greeting
        lines.append([name, f"{start_ms:.0f}", *_percentiles(spent_ms)])
    show(f"the agent's answer to 'state', {TIMES} times; start on a pod that has it", lines)


def _asked(client: AgentClient) -> float:
    began = time.perf_counter()
    assert client.request("state")["state"] == "INIT"
    return (time.perf_counter() - began) * 1000


def _percentiles(ordered: Sequence[float]) -> list[str]:
    places = (TIMES // 2, TIMES * 95 // 100, TIMES - 1)
    return [f"{ordered[place]:.2f}" for place in places]
