"""Pods to fetch from: behind a real SSH server, over a wire that can be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.reader import load
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.provider import SshProvider
from tests.support.run_on_pod import RunOnPod
from tests.support.sshd import Sshd
from tests.support.wire import Wire


class WiredPod:
    """A real agent behind a real SSH server at the other end of a wire."""

    def __init__(self, sshd: Sshd, root: Path) -> None:
        self.outputs = root / "outputs"
        self.outputs.mkdir(parents=True)
        self.wire = Wire(sshd.port)
        self._sshd = sshd
        self._root = root
        self._links: list[SshConnection] = []
        known = root / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.wire.port} {sshd.host_key}\n")
        text = (
            f"REPO_URL=.\nOPS_REMOTE_REPO={root}/repo\nOPS_REMOTE_OUTPUTS_DIR={self.outputs}\n"
            f"OPS_DEFAULT_HOST={sshd.user}@127.0.0.1:{self.wire.port}\n"
            f"SSH_KNOWN_HOSTS={known}\nSSH_IDENTITY_FILE={sshd.identity_file}\n"
            f"REMOTE_ENV_PATH={root}/project.env\n"
        )
        self._config = load(
            read_entries(text.encode(), "workflow.env"),
            project_dir=str(root),
            needs_csv=False,
            needs_target=False,
        )
        #: How long the client waits for the pod.
        self.patience = Patience()
        #: Called whenever the wire is connected anew.
        self.on_connect: Callable[[], None] = lambda: None
        self.client = self._new_client()

    def begin_anew(self) -> None:
        """A client of another session, as another process has it."""
        self.client.close()
        self.patience = Patience()
        self.client = self._new_client()

    def _new_client(self) -> AgentClient:
        return AgentClient(
            self.connect(),
            self._config.values,
            reconnect=self.connect,
            patience=self.patience,
        )

    def connect(self) -> SshConnection:
        """A new connection over the wire."""
        self.on_connect()
        provider = SshProvider(str(self._root))
        target = provider.resolve(self._config)
        assert target is not None
        self._links.append(provider.connect(target, self._config, str(self._root)))
        return self._links[-1]

    def close(self) -> None:
        """End what was started here."""
        self.client.close()
        for link in self._links:
            link.close()
        self.wire.close()


@pytest.fixture
def wired_pod(sshd: Sshd, client_home: Path, tmp_path: Path) -> Iterator[WiredPod]:
    """A pod behind a wire that can be cut."""
    pod = WiredPod(sshd, tmp_path / "pod")
    yield pod
    pod.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunOnPod]:
    """A run on a pod of this machine."""
    made = RunOnPod(tmp_path)
    yield made
    made.close()
