"""The state of a loopback account: nodes, pods, volumes, and what they have cost."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from pytest_wf.loopback.behaviour import Behaviour

_KIB_PER_GIB = 1024 * 1024


class Machine(Protocol):
    """The machine of a rented pod."""

    #: Where it listens: user, host and port.
    user: str
    host: str
    port: int

    def boot(self, delay_s: float) -> None:
        """Begin to listen, after `delay_s` seconds."""

    def reboot(self, *, new_port: bool) -> None:
        """Stop and start again, on another port if `new_port`."""

    def end(self) -> None:
        """End the machine, with everything that runs on it."""


Machines = Callable[[str, list[str]], Machine]


class Refusal(Exception):
    """A request is refused with an HTTP status and Lium's error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Node:
    """A machine on offer."""

    machine_name: str = "NVIDIA H100 80GB HBM3"
    price_per_gpu: float = 2.0
    gpu_count: int = 1
    tier: str = "secure"
    country: str = "US"
    ports: int = 20
    whole_only: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    available: int = -1

    def __post_init__(self) -> None:
        if self.available < 0:
            self.available = self.gpu_count

    def row(self) -> dict[str, Any]:
        """The node as GET /executors lists it."""
        details = [{"name": self.machine_name, "capacity": 81559}] * self.gpu_count
        return {
            "id": self.id,
            "machine_name": self.machine_name,
            "gpu_count": self.gpu_count,
            "available_gpu_count": self.available,
            "min_gpu_count_for_rental": None if self.whole_only else 1,
            "price_per_gpu": self.price_per_gpu,
            "executor_ip_address": "127.0.0.1",
            "status": "available",
            "tier": self.tier,
            "location": {"country": self.country, "country_code": self.country},
            "effective_upload_speed_mbps": 900.0,
            "effective_download_speed_mbps": 900.0,
            "max_cuda_version": 12.8,
            "reliability_score": 99.0,
            "specs": {
                "gpu": {"count": self.gpu_count, "driver": "570.1", "details": details},
                "cpu": {"count": 16},
                "ram": {"total": 128 * _KIB_PER_GIB},
                "hard_disk": {"free": 500 * _KIB_PER_GIB, "total": 900 * _KIB_PER_GIB},
                "available_port_count": self.ports,
                "sysbox_runtime": False,
            },
        }


@dataclass
class Rented:
    """A pod, from its rent until after its end."""

    name: str
    node: Node
    gpu_count: int
    usd_per_hour: float
    termination_hours: int | None
    payload: dict[str, Any]
    boots_at: float
    #: The owner's name for the API key that it was rented with.
    key_name: str = "ci"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "PENDING"
    rented_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    since: float = field(default_factory=time.monotonic)
    ended_at: datetime | None = None
    removal_at: datetime | None = None
    machine: Machine | None = None
    #: When a failed or deleted pod leaves the listing (monotonic).
    leaves_at: float = math.inf

    @property
    def is_billed(self) -> bool:
        """Whether it costs money now."""
        return self.ended_at is None and self.status not in ("CREATION_FAILED", "DELETING")

    @property
    def cost_usd(self) -> float:
        """What it has cost so far."""
        end = self.ended_at or datetime.now(timezone.utc)
        return (end - self.rented_at).total_seconds() / 3600 * self.usd_per_hour

    def row(self) -> dict[str, Any]:
        """The pod as GET /pods lists it."""
        running = self.status == "RUNNING" and self.machine is not None
        machine = self.machine
        where = f"ssh {machine.user}@{machine.host} -p {machine.port}" if machine else None
        return {
            "id": self.id,
            "pod_name": self.name,
            "status": self.status,
            "ssh_connect_cmd": where if running else None,
            "ports_mapping": {"22": machine.port} if machine and running else {},
            "created_at": stamp(self.rented_at),
            "updated_at": stamp(self.rented_at),
            "gpu_count": str(self.gpu_count),
            "price": self.usd_per_hour,
            "executor": self.node.row(),
            "template": {"id": self.payload.get("template_id")},
            "api_key_id": f"key-of-{self.key_name}",
            "api_key_name": self.key_name,
            "removal_scheduled_at": stamp(self.removal_at) if self.removal_at else None,
        }


class Account:
    """The state behind the API. Every public method is one request's effect, under a lock."""

    def __init__(self, nodes: list[Node], behaviour: Behaviour, machines: Machines) -> None:
        self.nodes = nodes
        self.behaviour = behaviour
        self._machines = machines
        self.pods: list[Rented] = []
        self.volumes: list[dict[str, Any]] = []
        self.ssh_keys: list[dict[str, Any]] = []
        #: The most pods that were ever billed at one time.
        self.most_billed = 0
        #: The most that all pods together were ever billed, in US dollars an hour.
        self.most_usd_per_hour = 0.0
        self._answers: dict[str, dict[str, Any]] = {}
        self._listings = 0
        self.lock = threading.RLock()

    def billed(self) -> list[Rented]:
        """The pods that cost money now."""
        with self.lock:
            self._tick()
            return [pod for pod in self.pods if pod.is_billed]

    def list_nodes(self, names: set[str], count: tuple[int, int]) -> list[dict[str, Any]]:
        """GET /executors: nodes with free GPUs."""
        with self.lock:
            self._tick()
            self._listings += 1
            rises = self.behaviour.price_rises_after
            if rises is not None and self._listings == rises + 1:
                for node in self.nodes:
                    node.price_per_gpu *= self.behaviour.price_factor
            return [
                node.row()
                for node in self.nodes
                if node.available > 0
                and (not names or node.machine_name in names)
                and count[0] <= node.gpu_count <= count[1]
            ]

    def list_pods(self) -> list[dict[str, Any]]:
        """GET /pods."""
        with self.lock:
            self._tick()
            now = time.monotonic()
            delay_s = self.behaviour.listing_delay_s
            return [
                pod.row()
                for pod in self.pods
                if pod.ended_at is None and now >= pod.since + delay_s and now < pod.leaves_at
            ]

    def rent(self, node_id: str, payload: dict[str, Any], key: str) -> dict[str, Any]:
        """POST /executors/{id}/rent. Raises Refusal."""
        with self.lock:
            self._tick()
            behaves = self.behaviour
            if behaves.idempotent and not behaves.forgets_keys and key in self._answers:
                return self._answers[key]
            node = next((n for n in self.nodes if n.id == node_id), None)
            wanted = payload.get("gpu_count")
            if node is not None and self.behaviour.taken > 0:
                self.behaviour.taken -= 1
                node.available = 0
            if node is None or node.available <= 0:
                raise Refusal(409, "executor_unavailable", "Executor is not available")
            count = int(wanted or node.available)
            if count > node.available or (node.whole_only and count != node.gpu_count):
                raise Refusal(400, "gpu_count", "That many GPUs cannot be rented here")
            price = node.price_per_gpu * count * self.behaviour.billed_factor
            if self.behaviour.balance_usd < price / 4:
                balance = self.behaviour.balance_usd
                raise Refusal(
                    403,
                    "insufficient_balance",
                    f"Insufficient balance: this requires at least ${price / 4:.2f}, "
                    f"your balance is ${balance:.2f}",
                )
            pod = self._new_pod(node, count, price, payload)
            answer = {"success": True, "pod_id": pod.id}
            self._answers[key] = answer
            return answer

    def delete(self, pod_id: str) -> None:
        """DELETE /pods/{id}. Raises Refusal."""
        with self.lock:
            self._tick()
            pod = self.pod(pod_id)
            if pod.status == "PENDING" and self.behaviour.refuse_delete_while_pending:
                raise Refusal(400, "pod_pending", "A pod that is being created cannot be deleted")
            if self.behaviour.ignore_delete:
                return
            if self.behaviour.removing_s and pod.status != "DELETING":
                pod.status = "DELETING"
                pod.leaves_at = time.monotonic() + self.behaviour.removing_s
            elif pod.status != "DELETING":
                self._end(pod)

    def schedule(self, pod_id: str, when: str | None) -> None:
        """POST and DELETE /pods/{id}/schedule-removal. Raises Refusal."""
        with self.lock:
            self._tick()
            pod = self.pod(pod_id)
            if not self.behaviour.ignore_schedule:
                pod.removal_at = parse(when) if when else None

    def reboot(self, pod_id: str) -> None:
        """POST /pods/{id}/reboot. Raises Refusal."""
        with self.lock:
            pod = self.pod(pod_id)
            if pod.machine is not None:
                pod.machine.reboot(new_port=self.behaviour.new_port_on_reboot)

    def pod(self, pod_id: str) -> Rented:
        """The pod that exists under that id. Raises Refusal(404)."""
        with self.lock:
            for pod in self.pods:
                if pod.id == pod_id and pod.ended_at is None:
                    return pod
        raise Refusal(404, "not_found", "Pod not found")

    def end_all(self) -> None:
        """End every machine that still runs."""
        with self.lock:
            for pod in self.pods:
                if pod.ended_at is None:
                    self._end(pod)

    def _new_pod(self, node: Node, count: int, price: float, payload: dict[str, Any]) -> Rented:
        hours = payload.get("termination_hours")
        pod = Rented(
            name=str(payload.get("pod_name")),
            node=node,
            gpu_count=count,
            usd_per_hour=price,
            termination_hours=hours,
            payload=payload,
            boots_at=time.monotonic() + self.behaviour.boot_s,
        )
        node.available -= count
        if self.behaviour.never_boot > 0:
            self.behaviour.never_boot -= 1
            pod.boots_at = math.inf
        if self.behaviour.creation_failures > 0:
            self.behaviour.creation_failures -= 1
            pod.status = "CREATION_FAILED"
            pod.leaves_at = time.monotonic() + self.behaviour.vanish_s
        self.pods.append(pod)
        billed = [p.usd_per_hour for p in self.pods if p.is_billed]
        self.most_billed = max(self.most_billed, len(billed))
        self.most_usd_per_hour = max(self.most_usd_per_hour, sum(billed))
        return pod

    def _tick(self) -> None:
        now, clock = time.monotonic(), datetime.now(timezone.utc)
        for pod in self.pods:
            if pod.ended_at is not None:
                continue
            if pod.status == "PENDING" and now >= pod.boots_at:
                self._boot(pod)
            if now >= pod.leaves_at or (pod.removal_at is not None and clock >= pod.removal_at):
                self._end(pod)

    def _boot(self, pod: Rented) -> None:
        pod.status = "RUNNING"
        pod.machine = self._machines(pod.id, list(pod.payload.get("user_public_key") or []))
        pod.machine.boot(self.behaviour.sshd_delay_s)
        if pod.termination_hours:
            # as the server does it: the hours of the rent replace what was scheduled before
            pod.removal_at = datetime.now(timezone.utc) + timedelta(hours=pod.termination_hours)

    def _end(self, pod: Rented) -> None:
        pod.ended_at = datetime.now(timezone.utc)
        pod.node.available += pod.gpu_count
        if pod.machine is not None:
            pod.machine.end()


def stamp(when: datetime) -> str:
    """An API timestamp."""
    return when.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """A time from an API timestamp."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
