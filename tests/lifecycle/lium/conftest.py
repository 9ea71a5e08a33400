"""Accounts of Lium on loopback, and projects that rent their pods from them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.loopback import Behaviour, LoopbackLium, Node, SshdPods


def two_nodes() -> list[Node]:
    """A cheap node that is not secure, the one to be taken, and one that is too dear."""
    return [
        Node(price_per_gpu=1.5, tier="spot"),
        Node(price_per_gpu=2.0),
        Node(price_per_gpu=9.0),
    ]


@pytest.fixture
def new_account(tmp_path: Path) -> Iterator[Callable[..., LoopbackLium]]:
    """Opens accounts: `behaviour`, `nodes`, and whether an SSH server is behind a pod's address.

    May be called from several threads."""
    opened: list[LoopbackLium] = []
    lock = threading.Lock()

    def new(
        behaviour: Behaviour | None = None,
        nodes: list[Node] | None = None,
        *,
        is_reachable: bool = True,
    ) -> LoopbackLium:
        with lock:
            some = {"machines": SshdPods(tmp_path / f"pods{len(opened)}")} if is_reachable else {}
            opened.append(LoopbackLium(nodes or two_nodes(), behaviour, **some))
            return opened[-1].__enter__()

    yield new
    for api in opened:
        api.__exit__(None, None, None)


@pytest.fixture
def api(new_account: Callable[..., LoopbackLium]) -> LoopbackLium:
    """An empty account."""
    return new_account()


@pytest.fixture
def client_key(clean_environ: dict[str, str]) -> Path:
    """The key pair of whoever runs the flows."""
    folder = Path(clean_environ["HOME"]) / ".ssh"
    folder.mkdir(mode=0o700)
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


@pytest.fixture
def project_of(
    new_project: Callable[..., Any], clean_environ: dict[str, str], client_key: Path
) -> Iterator[Callable[..., Any]]:
    """Makes projects that rent their pods from a given account, changed by config keys."""
    made = []
    lock = threading.Lock()

    def make(api: LoopbackLium, **keys: str) -> Any:
        with lock:
            project = new_project()
            made.append(project)
        project.environ = {**clean_environ, **api.environ()}
        pod = project.root.parent / f"pod-of-{project.root.name}"
        pod.mkdir()
        project.outputs = pod / "outputs"
        project.configure(
            OPS_DEFAULT_HOST="",
            OPS_REMOTE_REPO=str(pod / "repo"),
            OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
            REMOTE_ENV_PATH=str(pod / "project.env"),
            **{
                "LIUM_YES": "1",
                "LIUM_TTL": "2h",
                "LIUM_POLL_SECS": "1",
                "WF_MAX_USD_PER_HOUR": "3",
                **keys,
            },
        )
        return project

    yield make
    for project in made:
        project.outputs = project.root / "nothing"  # its pod ends with the account


@pytest.fixture
def lium_project(project_of: Callable[..., Any], api: LoopbackLium) -> Callable[..., Any]:
    """Makes projects that rent their pods from the account."""
    return lambda **keys: project_of(api, **keys)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that a row waits for; there at the latest when the test has ended."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()
