"""One question to the agent and its answer over ssh, beside what ssh itself can do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.reader import load
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures, alternate
from tests.support.sshd import Sshd

QUESTIONS = 50

CONFIG = """\
OPS_DEFAULT_HOST={host}
OPS_REMOTE_REPO={pod}/repo
OPS_REMOTE_OUTPUTS_DIR={pod}/outputs
REPO_URL=.
SSH_IDENTITY_FILE={identity}
SSH_KNOWN_HOSTS={known_hosts}
"""


def test_a_state_request(
    times: int,
    figures: Figures,
    new_pod: Callable[..., tuple[Sshd, Group]],
    tmp_path: Path,
    client_home: Path,
) -> None:
    sshd, _ = new_pod()
    host = f"{sshd.user}@{sshd.host}"
    text = CONFIG.format(
        host=f"{host}:{sshd.port}",
        pod=tmp_path / "pod",
        identity=sshd.identity_file,
        known_hosts=sshd.known_hosts_file,
    )
    config = load(
        read_entries(text.encode(), "workflow.env"),
        project_dir=str(tmp_path),
        needs_csv=False,
        needs_target=False,
    )
    provider = SshProvider(str(tmp_path))
    target = provider.resolve(config)
    assert target is not None
    plain = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-i", str(sshd.identity_file)]
    plain += ["-o", f"UserKnownHostsFile={sshd.known_hosts_file}", "-p", str(sshd.port)]
    control = ["-o", f"ControlPath=/tmp/wf-bench-{sshd.port}"]
    with ExitStack() as stack:
        connection = provider.connect(target, config, str(tmp_path))
        stack.enter_context(closing(connection))
        client = stack.enter_context(closing(AgentClient(connection, config.values)))
        subprocess.run([*plain, *control, "-o", "ControlPersist=yes", "-M", host, "true"])
        stack.callback(subprocess.run, [*plain, *control, "-O", "exit", host], capture_output=True)
        shell = subprocess.Popen(
            [*plain, *control, host, "exec bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        stack.enter_context(shell)
        stdin, stdout = shell.stdin, shell.stdout
        assert stdin is not None
        assert stdout is not None

        def ask() -> None:
            assert client.request("state")["state"] == "INIT"

        def echo() -> None:
            stdin.write(b"echo INIT\n")
            assert stdout.readline() == b"INIT\n"

        def exec_() -> None:
            subprocess.run([*plain, *control, host, "true"], check=True)

        ways = {
            "the agent's answer to 'state'": lambda n: timed(ask),
            "echo in a bash that stays": lambda n: timed(echo),
            "ssh over the connection that is there": lambda n: timed(exec_),
            "ssh with a connection of its own": lambda n: timed(
                lambda: subprocess.run([*plain, host, "true"], check=True)
            ),
        }
        figures.add(f"a question and its answer, {QUESTIONS} times", alternate(ways, times))
        stdin.close()


def timed(act: Callable[[], object]) -> dict[str, float]:
    """Half and nineteen twentieths of the questions took at most so long."""
    spent = []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        act()
        spent.append((time.perf_counter() - began) * 1000)
    spent.sort()
    return {"p50 ms": spent[QUESTIONS // 2], "p95 ms": spent[QUESTIONS * 95 // 100]}
