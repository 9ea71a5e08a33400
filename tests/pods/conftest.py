from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pytest_wf.config.dotenv import read_entries
from pytest_wf.config.keys import Config
from pytest_wf.config.reader import load
from pytest_wf.flow.extensions import installed
from pytest_wf.flow.operations.rented_pods import delete_pod
from pytest_wf.flow.results import Result
from pytest_wf.loopback import Behaviour, LoopbackLium, Node
from pytest_wf.pods.base import Rented, RentedPods
from pytest_wf.pods.lium.api import LiumAccount, import_sdk
from pytest_wf.pods.lium.config_keys import LiumKeys
from pytest_wf.pods.lium.provider import LiumProvider
from pytest_wf.pods.rental.journal import Journal
from pytest_wf.pods.rental.timing import Timing
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.provider import SshProvider
from pytest_wf.project.project import Project
from tests.support.sshd import Sshd

_REQUIRED = (
    "REPO_URL=https://example.com/repo.git\nOPS_REMOTE_REPO=/srv/repo\n"
    "OPS_REMOTE_OUTPUTS_DIR=/srv/outputs\n"
)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """A real config with the given keys, named in lower case."""

    def make(**keys: object) -> Config:
        lines = "".join(f"{name.upper()}='{value}'\n" for name, value in keys.items())
        return load(
            read_entries((_REQUIRED + lines).encode(), "workflow.env"),
            project_dir=str(tmp_path),
            keys=installed().config_keys(),
            needs_csv=False,
            needs_target=False,
        )

    return make


class Client:
    """The client's side of an SSH server: a config that trusts it, changed by keywords."""

    def __init__(self, server: Sshd, make: Callable[..., Config], project: Path) -> None:
        self.server = server
        self.project = project
        self.own_known_hosts = project / "flows" / "known_hosts"
        self._make = make

    def config(self, **keys: object) -> Config:
        """A config that trusts the server and holds its key, changed by `keys`."""
        return self._make(
            **{
                "ops_default_host": f"{self.server.user}@{self.server.host}:{self.server.port}",
                "ssh_known_hosts": self.server.known_hosts_file,
                "ssh_identity_file": self.server.identity_file,
                **keys,
            }
        )

    def of(self, server: Sshd) -> Client:
        """The client of another server, in the same project."""
        return Client(server, self._make, self.project)

    def connect(self, **keys: object) -> SshConnection:
        """Resolve and connect as a flow does."""
        config = self.config(**keys)
        provider = SshProvider()
        target = provider.resolve(config)
        assert target is not None
        return provider.connect(target, config, str(self.project))


@pytest.fixture
def client(
    sshd: Sshd, make_config: Callable[..., Config], client_home: Path, tmp_path: Path
) -> Client:
    """A client of the module's SSH server, in a project and a home of its own."""
    return Client(sshd, make_config, tmp_path)


# ---- Lium: a project with an account on loopback

LIUM_FLOW = "f-20260102T030405Z-abc123"
#: Long enough for a slow machine: what comes is waited for.
LIUM_TIMING = Timing(
    poll_s=0.05,
    settle_s=60.0,
    delete_s=60.0,
    schedule_s=60.0,
    removal_in_s=300,
    answer_s=60.0,
    requests=100_000,
)
#: For tests in which it does not come: the time has to run out.
SHORT_LIUM_TIMING = replace(LIUM_TIMING, settle_s=1.0, delete_s=2.0, schedule_s=1.0)


@pytest.fixture(scope="session")
def lium_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key with its public half beside it."""
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class LiumRenter:
    """A project with an account: what a flow would do in P10 and P90."""

    def __init__(
        self, api: LoopbackLium, config: Config, key: Path, project: Path, timing: Timing
    ) -> None:
        self.api = api
        self.config = config
        self.project = project
        self.key = key
        self.said: list[str] = []
        lium = import_sdk()
        settings = lium.Config(api_key=api.api_key, base_url=api.base_url, ssh_key_path=key)
        self.settings = settings
        self.provider = LiumProvider(
            lambda config, project: LiumAccount(settings, config.of("lium", LiumKeys).volume),
            timing,
        )

    @property
    def journal(self) -> Journal:
        return Journal(self.project, "lium")

    def rent(self, flow_id: str = LIUM_FLOW) -> Rented:
        return self.provider.rent(self.config, flow_id, self.said.append, str(self.project))

    def rent_pods(self, count: int, least: int, flow_id: str = LIUM_FLOW) -> RentedPods:
        return self.provider.rent_pods(
            self.config, flow_id, self.said.append, str(self.project), count, least
        )

    def release(self, rented: Rented) -> dict[str, object]:
        return self.provider.delete(rented.target, self.config, str(self.project))

    def delete(self, written: str) -> Result:
        """What `wf pod-delete` does."""
        return delete_pod(
            self.as_project(), [self.provider], written, interactive=True, force=False
        )

    def as_project(self) -> Project:
        """What the operations of `wf pod-*` read of a project."""
        path = self.project / "flows" / "workflow.env"
        project = SimpleNamespace(config=self.config, root=self.project, config_path=path)
        return cast(Project, project)

    def standing(self) -> dict[str, str]:
        """What `wf pod-list` shows: standing by pod id."""
        listed = self.provider.list_pods(self.config, str(self.project))
        return {pod.id: pod.standing for pod in listed}


@pytest.fixture
def lium_renter(
    make_config: Callable[..., Config],
    lium_key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., LiumRenter]]:
    """Makes renters: `behaviour`, `nodes`, `timing`, and config keys in lower case."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("LIUM_WORKSPACE", raising=False)
    opened: list[LoopbackLium] = []
    lock = threading.Lock()

    def make(
        behaviour: Behaviour | None = None,
        nodes: list[Node] | None = None,
        timing: Timing = LIUM_TIMING,
        **keys: object,
    ) -> LiumRenter:
        api = LoopbackLium(nodes, behaviour)
        with lock:
            opened.append(api)
            number = len(opened)
        api.__enter__()
        config = make_config(**{"lium_up_timeout_secs": 30, **keys})
        return LiumRenter(api, config, lium_key, tmp_path / f"project{number}", timing)

    yield make
    for api in opened:
        api.__exit__(None, None, None)
