"""A provider of another make, as a user writes it into conftest.py: SSH servers on this machine.

The account is a folder with a file for each pod. Nothing of pytest-wf was changed for it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

from pytest_wf.config import formats
from pytest_wf.config.keys import Config, key
from pytest_wf.loopback import SshdPods
from pytest_wf.loopback.sshd import SshdPod
from pytest_wf.pods.base import Pod, Provider
from pytest_wf.pods.rental.account import Account, NotFound, Offer, RentRequest, Requirements
from pytest_wf.pods.rental.config_keys import RentalKeys
from pytest_wf.pods.rental.provider import RentalProvider


@dataclass(frozen=True)
class ShedKeys(RentalKeys):
    """Keys beyond those of every renting provider."""

    gpus: int = key(formats.COUNT, "1", "P10", "GPUs to rent from the shed.")
    folder: str = key(formats.LOCAL_PATH, "shed", "P10", "The account's folder.")


class ShedAccount(Account):
    """One account: a folder."""

    machines: ClassVar[dict[str, SshdPod]] = {}

    def __init__(self, folder: Path, identity_file: str) -> None:
        self.folder = folder
        self.identity_file = identity_file

    def offers(self, wanted: Requirements) -> list[Offer]:
        """Always the same machine."""
        return [Offer("bench-1", "bench-1", "none", "workbench", 8, 8, usd_per_gpu=0.25)]

    def pods(self) -> list[Pod]:
        """A pod for each file."""
        return [Pod(**json.loads(path.read_text())) for path in self.folder.glob("*.json")]

    def prepare(self, offer: Offer, wanted: Requirements, name: str) -> RentRequest:
        """What becomes the pod's file."""
        price = offer.usd_per_hour(wanted.count)
        return RentRequest(
            uuid.uuid4().hex, {"name": name, "node_id": offer.id, "usd_per_hour": price}
        )

    def rent(self, request: RentRequest, timeout_s: float) -> str:
        """Start an SSH server that accepts the user's key."""
        public_key = Path(f"{self.identity_file}.pub").read_text().strip()
        machine = self.machines[request.key] = SshdPods(self.folder)(request.key, [public_key])
        machine.boot(0)
        self._write(
            Pod(
                id=request.key,
                status="RUNNING",
                address=f"{machine.user}@{machine.host}:{machine.port}",
                rented_at=datetime.now(timezone.utc).isoformat(),
                **request.payload,
            )
        )
        return request.key

    def delete(self, pod: Pod) -> None:
        """Stop the server and remove the pod's file."""
        if not self._file(pod).exists():
            raise NotFound(f"the shed has no pod {pod.id}.")
        self.machines.pop(pod.id).end()
        self._file(pod).unlink()

    def schedule_removal(self, pod: Pod, when: str) -> None:
        """Note when the pod is to be removed."""
        self._write(replace(Pod(**json.loads(self._file(pod).read_text())), removal_at=when))

    def _file(self, pod: Pod) -> Path:
        return self.folder / f"{pod.id}.json"

    def _write(self, pod: Pod) -> None:
        self._file(pod).write_text(json.dumps(asdict(pod)))


class ShedProvider(RentalProvider):
    """Rents from the shed of SHED_FOLDER."""

    name = "shed"
    keys = ShedKeys

    def account(self, config: Config, project_dir: str) -> ShedAccount:
        """The account of the configured folder."""
        folder = Path(project_dir, config.of(self.name, ShedKeys).folder)
        folder.mkdir(exist_ok=True)
        return ShedAccount(folder, config.ssh_identity_file)

    def requirements(self, config: Config) -> Requirements:
        """As many GPUs as SHED_GPUS says."""
        count = config.of(self.name, ShedKeys).gpus
        return replace(super().requirements(config), count=count)


def pytest_wf_providers() -> Sequence[Provider]:
    """The hook that makes it known."""
    return [ShedProvider()]
