"""Reaching rented pods: found by id, name or huid, and proved to be the same by key and nonce."""

from __future__ import annotations

import hashlib
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import HostKeyError, OperationFailed, TransportError, Unreachable
from pytest_wf.loopback import Fault, Node, SshdPods
from pytest_wf.pods.base import Connection, Pod, Target, pick_pod
from pytest_wf.pods.rental.account import Offer, Requirements
from pytest_wf.pods.rental.identity import await_banner
from pytest_wf.pods.rental.offers import choose
from pytest_wf.pods.ssh.config import Address
from tests.support.waiting import until

Renters = Callable[..., Any]


@pytest.fixture
def it(lium_renter: Renters, tmp_path: Path) -> Any:
    """A renter whose pods are real SSH servers."""
    renter = lium_renter(nodes=[Node(), Node()])
    renter.api.account._machines = SshdPods(tmp_path / "pods")
    return renter


def reach(it: Any, target: Target) -> Connection:
    """Connect as a flow does, as soon as the server listens."""

    def connected() -> Connection | None:
        try:
            made: Connection = it.provider.connect(target, it.config, str(it.project))
            return made
        except Unreachable:
            return None

    connection: Connection = until(connected, "a connection")
    return connection


def machine(it: Any) -> Any:
    return it.api.account.billed()[0].machine


def test_the_first_key_of_a_rented_pod_is_pinned_to_its_id_under_the_strict_policy(
    it: Any,
) -> None:
    rented = it.rent()
    connection = reach(it, rented.target)
    facts = connection.facts()
    assert connection.run(["echo", "hello"], timeout_s=10).stdout == "hello\n"
    connection.close()
    assert (facts["host_key_trust"], facts["pod_id"]) == ("recorded", rented.target.name)
    pinned = (it.project / "flows" / "known_hosts").read_text()
    assert pinned.startswith(rented.target.name + " ssh-ed25519 ")
    rental = it.journal.of_pod(rented.target.name)
    assert (rental.host_key, len(rental.nonce)) == (facts["host_key"], 32)
    assert it.config.ssh_host_key_policy == "strict"


def test_a_pod_that_comes_back_at_another_address_is_still_ours(it: Any) -> None:
    rented = it.rent()
    reach(it, rented.target).close()
    before = machine(it).port
    it.api.account.reboot(rented.target.name)
    connection = reach(it, rented.target)
    assert connection.facts()["host_key_trust"] == "known"
    assert connection.facts()["address"].endswith(f":{machine(it).port}")
    connection.close()
    assert machine(it).port != before


def test_another_host_key_under_the_same_id_is_fatal(it: Any) -> None:
    rented = it.rent()
    reach(it, rented.target).close()
    machine(it).new_host_key()
    it.api.account.reboot(rented.target.name)
    with pytest.raises(HostKeyError, match="has changed"):
        reach(it, rented.target)
    (it.project / "flows" / "known_hosts").unlink()
    with pytest.raises(TransportError):
        reach(it, rented.target)


def test_a_machine_with_the_right_id_and_key_that_was_made_anew_is_not_ours(it: Any) -> None:
    rented = it.rent()
    reach(it, rented.target).close()
    left = machine(it).folder / "home" / ".pytest-wf-pod"
    assert left.stat().st_mode & 0o777 == 0o600
    left.unlink()
    with pytest.raises(OperationFailed, match="recreated") as error:
        reach(it, rented.target)
    assert error.value.kind == "target-changed"


def test_a_machine_whose_login_prints_is_known_again(it: Any, tmp_path: Path) -> None:
    prints = 'ForceCommand printf welcome; eval "$SSH_ORIGINAL_COMMAND"'
    it.api.account._machines = SshdPods(tmp_path / "printing", prints)
    rented = it.rent()
    for _ in range(2):
        reach(it, rented.target).close()
    assert it.journal.of_pod(rented.target.name).nonce


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"Welcome\r\nto gpu1\r\nSSH-2.0-x\r\n"])
def test_a_pod_may_print_lines_before_it_speaks_ssh(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        await_banner(Address("root", "127.0.0.1", listener.getsockname()[1]), 5)
        thread.join()


def test_a_pod_that_nobody_here_rented_is_held_to_the_policy(it: Any) -> None:
    rented = it.rent()
    for path in it.journal.folder.iterdir():
        path.unlink()
    with pytest.raises(HostKeyError, match="not known"):
        reach(it, Target("lium", rented.target.name))


def test_a_pod_is_named_by_id_name_or_huid(it: Any) -> None:
    rented = it.rent()
    (pod,) = it.provider.list_pods(it.config, str(it.project))
    for written in (pod.id, pod.name, pod.huid):
        reach(it, Target("lium", written)).close()
    with pytest.raises(OperationFailed, match="no pod with the id, name or huid 'lunar'") as error:
        it.provider.connect(Target("lium", "lunar"), it.config, str(it.project))
    assert error.value.kind == "no-target"
    assert rented.target.name == pod.id


def test_an_ended_pods_pin_is_forgotten(it: Any) -> None:
    rented = it.rent()
    reach(it, rented.target).close()
    it.release(rented)
    assert (it.project / "flows" / "known_hosts").read_text() == ""


def test_a_link_can_be_made_again_while_the_api_is_down(it: Any) -> None:
    rented = it.rent()
    reach(it, rented.target).close()
    it.api.behaviour.faults.append(Fault("pods", "503", times=-1))
    reach(it, rented.target).close()


@pytest.mark.parametrize("kind", ["429", "503", "drop-before", "drop-after"])
def test_a_listing_that_fails_now_and_then_keeps_nobody_from_a_pod(it: Any, kind: str) -> None:
    it.api.behaviour.sshd_delay_s = 0.3
    it.api.behaviour.latency_s = 0.02
    rented = it.rent()
    it.api.behaviour.faults.append(Fault("pods", kind, skip=1))
    reach(it, rented.target).close()
    it.release(rented)
    assert (it.api.account.billed(), it.api.account.most_billed) == ([], 1)


def _huid(id: str) -> str:
    digest = hashlib.md5(id.encode(), usedforsecurity=False).hexdigest()
    return f"{int(digest[:4], 16) % 10}-{int(digest[4:8], 16) % 10}-{digest[-2:]}"


def test_two_pods_with_one_huid_are_named_and_neither_is_taken(it: Any) -> None:
    seen: dict[str, str] = {}
    ids: list[str] = []
    while not ids:
        id = str(uuid.uuid4())
        other = seen.setdefault(_huid(id), id)
        ids = [id, other] if other != id else []
    account = it.api.account
    for node, id in zip(account.nodes, ids, strict=True):
        pod_id = account.rent(node.id, {"pod_name": f"pytest-wf-{id[:6]}"}, id)["pod_id"]
        account.pod(pod_id).id = id
    pods = it.provider.list_pods(it.config, str(it.project))
    assert len({pod.huid for pod in pods}) == 1
    with pytest.raises(OperationFailed) as error:
        pick_pod(pods, pods[0].huid)
    assert all(id in str(error.value) for id in ids)
    found = pick_pod(pods, ids[0])
    assert found is not None and found.id == ids[0]


def test_an_empty_text_means_no_pod() -> None:
    pods = [Pod("p-1", "pytest-wf-000001", "RUNNING"), Pod("", "pytest-wf-000002", "UNKNOWN")]
    assert pick_pod(pods, "") is None


def _offer(**changes: Any) -> Offer:
    values: dict[str, Any] = {
        "id": "n1",
        "huid": "calm-hawk-01",
        "gpu_type": "H100",
        "machine_name": "NVIDIA H100 80GB HBM3",
        "gpu_count": 8,
        "free": 8,
        "usd_per_gpu": 2.0,
        "tier": "secure",
        "country": "Germany",
        "country_code": "DE",
        "ports": 10,
    }
    return Offer(**{**values, **changes})


@pytest.mark.parametrize(
    ("offer", "wish", "fits"),
    [
        ({}, {}, True),
        ({}, {"gpu": "h100"}, True),
        ({}, {"gpu": "A100"}, False),
        ({}, {"count": 8}, True),
        ({"free": 3}, {"count": 4}, False),
        ({"whole_only": True}, {"count": 4}, False),
        ({"whole_only": True}, {"count": 8}, True),
        ({}, {"country": "de"}, True),
        ({}, {"country": "germany"}, True),
        ({}, {"country": "US"}, False),
        ({}, {"ports": 10}, True),
        ({"ports": None}, {"ports": 1}, False),
        ({}, {"node": "n1"}, True),
        ({}, {"node": "calm-hawk-01"}, True),
        ({}, {"node": "n2"}, False),
        ({}, {"count": 4, "max_usd_per_hour": 8.0}, True),
        ({}, {"count": 4, "max_usd_per_hour": 7.99}, False),
        ({"usd_per_gpu": 0.0}, {}, False),
    ],
)
def test_an_offer_fits_or_not(offer: dict[str, Any], wish: dict[str, Any], fits: bool) -> None:
    assert bool(choose([_offer(**offer)], Requirements(**wish)).offers) is fits


def test_offers_are_tried_secure_first_then_cheap_and_steady() -> None:
    offers = [
        _offer(id="spot", tier="spot", usd_per_gpu=1.0),
        _offer(id="dear", usd_per_gpu=3.0),
        _offer(id="shaky", usd_per_gpu=1.5, often_fails=True),
        _offer(id="good"),
    ]
    assert [o.id for o in choose(offers, Requirements()).offers] == [
        "good",
        "dear",
        "shaky",
        "spot",
    ]


def test_a_node_huid_that_two_nodes_share_is_refused() -> None:
    offers = [_offer(id="n1"), _offer(id="n2")]
    with pytest.raises(OperationFailed, match="n1, n2"):
        choose(offers, Requirements(node="calm-hawk-01"))
