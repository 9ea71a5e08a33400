"""Pods of Lium: rented by name, bound by id, pinned by host key, and provably ended.

The provider's listing says what exists; the project's journal (`lium_journal`) says what was
meant. The SDK is imported when an account is first opened, never before.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_wf.errors import OperationFailed, Unreachable
from pytest_wf.pods.base import Connection, Pod, Rented, Target
from pytest_wf.pods.lium.api import Account, Busy, Unanswered
from pytest_wf.pods.lium.deletion import end_pod, end_unknown_pod
from pytest_wf.pods.lium.offers import carries_prefix, pick
from pytest_wf.pods.lium.pace import TERMINAL, Pace, look
from pytest_wf.pods.lium.removal_schedule import arm, later, take_back
from pytest_wf.pods.lium.rent import Renting
from pytest_wf.pods.lium.rentals import Journal, Rental, now, this_process
from pytest_wf.pods.lium.reuse import left_by, unlisted
from pytest_wf.pods.ssh.config import Address
from pytest_wf.pods.ssh.connect import SshSettings, open_connection, project_known_hosts
from pytest_wf.pods.ssh.connection import SshConnection
from pytest_wf.pods.ssh.known_hosts import KnownHosts

if TYPE_CHECKING:
    from pytest_wf.config.reader import Config

__all__ = ["LiumProvider"]

_ADDRESS = re.compile(r"([^@]+)@\[?([^\]]+?)\]?:([0-9]+)")
#: Left on a pod at the first connection; a machine without it is another one.
_NONCE = '"$HOME/.pytest-wf-pod"'
_READ_NONCE = ("sh", "-c", f"cat {_NONCE} 2>/dev/null || true")
_LEAVE_NONCE = ("sh", "-c", f"umask 077 && cat > {_NONCE}.new && mv {_NONCE}.new {_NONCE}")


class LiumProvider:
    """Rents, finds, connects to and ends pods of one Lium account.

    `account` opens the account; `pace` says how patiently it is asked.
    """

    name = "lium"
    can_rent = True

    def __init__(
        self, account: Callable[[Config, str], Account] = Account.open, pace: Pace | None = None
    ) -> None:
        self._open = account
        self._given_pace = pace
        #: The pod that each target's name meant when it was first connected to.
        self._meant: dict[str, Pod] = {}

    def _pace(self, config: Config) -> Pace:
        return self._given_pace or Pace.of(config)

    def resolve(self, config: Config) -> Target | None:
        """The pod that LIUM_TARGET names. Nothing is contacted."""
        return Target(self.name, config.lium_target) if config.lium_target else None

    def rent(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented:
        """Use the pod again that this project has and nobody works on; else rent one.

        Raises OperationFailed('provider', 'volume'); its text says what exists then.
        """
        account = self._open(config, project_dir)
        journal = Journal(project_dir)
        renting = Renting(account, journal, config, flow_id, say, self._pace(config))
        again = renting.again()
        rental, facts = again or renting.run()
        price = facts.get("usd_per_hour")
        return Rented(
            Target(self.name, rental.pod_id, source="autobind"),
            usd_per_hour=price if isinstance(price, float) else rental.usd_per_hour,
            rented_at=rental.rented_at,
            is_new=again is None,
            facts={**facts, "bind": f"LIUM_TARGET={rental.pod_id}"},
        )

    def left_by(
        self, config: Config, flow_id: str, say: Callable[[str], None], project_dir: str = "."
    ) -> Rented | None:
        """The pod that a flow asked for, or took over, and never came to bind.

        Raises OperationFailed where it cannot be learnt whether there is one.
        """
        journal = Journal(project_dir)
        mine = (r for r in journal.rentals() if r.is_open)
        if not any(flow_id in (r.flow_id, r.used_by) for r in mine):
            return None
        account = self._open(config, project_dir)
        found = left_by(account, journal, flow_id, self._pace(config), say)
        if found is None:
            return None
        rental, pod = found
        return Rented(
            Target(self.name, pod.id, source="autobind"),
            usd_per_hour=rental.usd_per_hour if pod.usd_per_hour is None else pod.usd_per_hour,
            rented_at=rental.rented_at,
            is_new=rental.flow_id == flow_id,
            facts={"pod_name": rental.name, "status": pod.status},
        )

    def connect(
        self, target: Target, config: Config, project_dir: str, *, read_only: bool = False
    ) -> Connection:
        """Open the one connection of a flow, to the pod that `target` means.

        The address comes from the listing each time, as a reboot may change it; the pod is the
        same only if its id, its host key and what was left on it agree. With `read_only` no
        key is recorded, nothing is left on the pod, and the pod does not count as held. Raises
        TransportError, OperationFailed('no-target', 'target-changed', 'provider').
        """
        account = self._open(config, project_dir)
        pod = self._find(account, target, config)
        journal = Journal(project_dir)
        rental = journal.of_pod(pod.id)
        address = self._address(pod, account)
        _await_banner(address, self._pace(config).banner_s)
        home = str(Path("~").expanduser())
        is_first = rental is not None and not rental.host_key
        settings = SshSettings(
            config, project_dir, home, record_host_key=not read_only, accept_first_key=is_first
        )
        facts = {"pod_id": pod.id, "pod_name": pod.name, "usd_per_hour": _text(pod)}
        connection = open_connection(target, address, settings, facts)
        try:
            if rental is not None and not (read_only and is_first):
                _same_machine(rental, connection)
            if rental is not None and not read_only:
                _note_connection(journal, rental, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def release(
        self, target: Target, config: Config, flow_id: str, project_dir: str = "."
    ) -> dict[str, object]:
        """End the very pod of `target` and prove by the listing that it is gone.

        Raises OperationFailed('delete') saying what may still be billing.
        """
        account = self._open(config, project_dir)
        journal = Journal(project_dir)
        meant = self._meant.get(target.name)
        rental = journal.of_pod(meant.id if meant else target.name)
        if rental is None:
            meant = self._find(account, target, config)
            rental = journal.of_pod(meant.id)
        if rental is not None:
            facts = end_pod(account, journal, rental, self._pace(config))
        else:
            assert meant is not None
            facts = end_unknown_pod(account, meant, self._pace(config))
        KnownHosts([project_known_hosts(project_dir)]).forget(str(facts["pod_id"]).lower())
        return {"deleted": True, **facts}

    def list_pods(self, config: Config, project_dir: str = ".") -> list[Pod]:
        """The account's pods that carry LIUM_POD_NAME, and whose they are."""
        return self._listed(self._open(config, project_dir), config, Journal(project_dir))

    def volumes(self, config: Config, project_dir: str = ".") -> list[dict[str, object]]:
        """The account's volumes."""
        return self._open(config, project_dir).volumes()

    def delete(
        self, written: str, config: Config, project_dir: str, *, force: bool = False
    ) -> dict[str, object]:
        """End the pod that an id, a name or a huid means, if it carries LIUM_POD_NAME.

        Raises OperationFailed; also where another process works with it, unless `force`.
        """
        listed = self.list_pods(config, project_dir)
        pod = pick(listed, written)
        if pod is None:
            raise OperationFailed(
                "no-target",
                f"no pod of this product is called {written!r} "
                f"(LIUM_POD_NAME={config.lium_pod_name}).",
                "Look at `wf pod-list`; end any other pod with `lium rm`.",
            )
        if pod.standing == "held" and not force:
            raise OperationFailed(
                "lease-held",
                f"{pod.name} ({pod.id}) is in use: {pod.told}.",
                "Wait for its end, or say --force.",
            )
        self._meant[pod.id] = pod
        return self.release(Target(self.name, pod.id), config, "", project_dir)

    def end_when_idle(self, target: Target, config: Config, project_dir: str, after_s: int) -> str:
        """Schedule the end of a pod that this project rented, or take that back.

        Where the pod was rented elsewhere nothing is done: its removal is not ours to change.
        Raises OperationFailed('provider') where it cannot be read back.
        """
        journal = Journal(project_dir)
        meant = self._meant.get(target.name)
        rental = journal.of_pod(meant.id if meant else target.name)
        if rental is None or not (after_s or rental.idle_at):
            return rental.removal_at if rental else ""
        account = self._open(config, project_dir)
        ttl_at = later(rental.asked_at, rental.ttl_s) if rental.ttl_s else ""
        idle_at = later(now(), after_s) if after_s else ""
        when = min(at for at in (ttl_at, idle_at) if at) if ttl_at or idle_at else ""
        if idle_at:
            # before it is asked for: one that got no answer has to be taken back too
            journal.update(rental, idle_at=idle_at)
        read, pace = "", self._pace(config)
        if when:
            read = arm(account, rental.pod_id, when, pace)
        elif not take_back(account, Pod(rental.pod_id, rental.name, ""), pace):
            read = "unknown"
        if bool(read) is not bool(when):
            raise OperationFailed(
                "provider",
                f"the end of {rental.name} could not be set to {when or 'never'} and read back.",
                "Look at `wf pod-list`; WF_IDLE_DELETE_SECS=0 switches this off.",
            )
        if not idle_at:
            journal.update(rental, idle_at="")
        return read

    def _listed(self, account: Account, config: Config, journal: Journal) -> list[Pod]:
        rentals = journal.rentals()
        ours = [p for p in account.pods() if carries_prefix(config.lium_pod_name, p.name)]
        shown = [_with_standing(pod, rentals) for pod in ours]
        return shown + unlisted(rentals, ours, self._pace(config))

    def _find(self, account: Account, target: Target, config: Config) -> Pod:
        meant = self._meant.get(target.name)
        try:
            pods = account.pods()
        except (Busy, Unanswered) as e:
            if meant is not None and meant.address:
                return meant  # the link may well be there although the API is not
            raise Unreachable(e.message, e.remedy) from e
        pod = pick(pods, meant.id if meant else target.name)
        if pod is None and meant is None and target.source == "explicit":
            raise OperationFailed(
                "no-target",
                f"the account has no pod with the id, name or huid {target.name!r}.",
                "Correct LIUM_TARGET (`wf pod-list`, `lium ps`), or empty it to have one rented.",
            )
        if pod is None and meant is not None and self._is_gone(account, meant, config):
            raise OperationFailed(
                "provider",
                f"pod {meant.name} ({meant.id}) is no longer listed by Lium: it was removed, or "
                "its time to live is over. Nothing of it is billed any more.",
                "What was not fetched from it is lost. Begin a new flow.",
            )
        if pod is None:
            raise Unreachable(f"pod {target.name} is not listed.", "Look at `wf pod-list`.")
        self._meant[target.name] = pod
        return pod

    def _is_gone(self, account: Account, meant: Pod, config: Config) -> bool:
        """Whether a pod that was listed before is missing from a second listing too."""
        time.sleep(self._pace(config).poll_s)
        pods = look(account, self._pace(config))
        return pods is not None and all(pod.id != meant.id for pod in pods)

    def _address(self, pod: Pod, account: Account) -> Address:
        found = _ADDRESS.fullmatch(pod.address)
        if pod.status != "RUNNING" or found is None:
            if pod.status in TERMINAL:
                raise OperationFailed(
                    "provider", f"pod {pod.name} ({pod.id}) is {pod.status}.", "Rent another one."
                )
            raise Unreachable(f"pod {pod.name} ({pod.id}) is {pod.status}.", "Wait for it to run.")
        return Address(
            user=found[1],
            host=found[2],
            port=int(found[3]),
            key_alias=pod.id.lower(),
            identity_files=(account.identity_file,) if account.identity_file else (),
        )


def _with_standing(pod: Pod, rentals: list[Rental]) -> Pod:
    rental = next((r for r in rentals if r.pod_id == pod.id), None) or next(
        (r for r in rentals if r.name == pod.name and not r.pod_id and pod.id not in r.known), None
    )
    if rental is None:
        return replace(pod, standing="orphan", told=_foreign(pod))
    by = f"rented by {rental.flow_id} of this project"
    if rental.state == "deleting":
        return replace(pod, standing="orphan", told=f"{by}, which did not end deleting it")
    if rental.is_held:
        return replace(pod, standing="held", told=f"{by}, process {rental.owner.get('pid')} works")
    return replace(pod, standing="kept", told=f"{by}, and nobody works on it")


def _foreign(pod: Pod) -> str:
    """What is known of a pod that carries the product's name and stands in no journal here."""
    key = f" (by the API key {pod.key_name!r})" if pod.key_name else ""
    return f"not rented by this project{key}; it may belong to a flow on another machine"


def _same_machine(rental: Rental, connection: SshConnection) -> None:
    """Id, host key and nonce must agree; before the first connection nothing is known of them."""
    shown = connection.facts()["host_key"]
    if rental.host_key and rental.host_key != shown:
        raise OperationFailed(
            "target-changed",
            f"{rental.name} showed the host key {rental.host_key} when it was rented, and "
            f"{shown} now.",
            "It is another machine. Look at `wf pod-list`.",
        )
    if not rental.nonce:
        return
    found = connection.run(_READ_NONCE, timeout_s=30).stdout.strip()
    if not secrets.compare_digest(found.encode(), rental.nonce.encode()):
        raise OperationFailed(
            "target-changed",
            f"{rental.name} ({rental.pod_id}) has the right id and host key, and lacks what was "
            "left on it: it was made anew.",
            "What ran there is lost. Empty LIUM_TARGET to rent another, or delete it.",
        )


def _note_connection(journal: Journal, rental: Rental, connection: SshConnection) -> None:
    """Keep who works with the pod; at the first connection its key, and leave a nonce on it."""
    changes: dict[str, object] = {"owner": this_process(rental.used_by)}
    if not rental.nonce:
        nonce = secrets.token_hex(16)
        left = connection.run(_LEAVE_NONCE, stdin=nonce.encode(), timeout_s=30)
        changes["host_key"] = connection.facts()["host_key"]
        changes["nonce"] = nonce if left.ok else ""
    journal.update(rental, **changes)


def _await_banner(address: Address, timeout_s: float) -> None:
    """A running pod's port may accept and close, or not answer yet, for some seconds."""
    try:
        with closing(socket.create_connection((address.host, address.port), timeout_s)) as sock:
            sock.settimeout(timeout_s)
            said = sock.recv(256)
    except OSError as e:
        raise Unreachable(
            f"no SSH server answers at {address.place} yet: {e.strerror or e}.",
            "A rented pod may need a minute; POD_WAIT_MAX_SECS is the time that it has.",
        ) from e
    if not said.startswith(b"SSH-"):
        raise Unreachable(
            f"{address.place} answers, and not as an SSH server.", "Wait, or look at `lium ps`."
        )


def _text(pod: Pod) -> str:
    return "" if pod.usd_per_hour is None else f"{pod.usd_per_hour:g}"
