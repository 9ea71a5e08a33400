"""A session with one pod: its connection, its agent, its lease."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from pytest_wf import threads
from pytest_wf.console.live import News
from pytest_wf.console.progress import span
from pytest_wf.errors import OperationFailed, TransportError, Unreachable, WfError
from pytest_wf.flow.idle_removal import IdleRemoval
from pytest_wf.pods.background import in_background
from pytest_wf.pods.base import Connection, EffectLog, NoLog, Provider, Target
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.pods.rpc.phase_states import PhaseStates
from pytest_wf.project.project import Project
from pytest_wf.wire import operations, process, user

#: A lease that was not renewed for this many seconds has expired.
LEASE_TTL_S = 30
_RENEW_EVERY_S = LEASE_TTL_S / 3
_LONGEST_S = 24 * 3600.0
#: The longest attempt to release the lease; it expires anyway.
_DROP_S = 5.0


class PodSession:
    """The one authenticated connection to a pod that operations use.

    Opened once per flow (or `wf` command) and passed from operation to operation. The lease
    is taken by the first operation that changes the pod. A separate thread renews it
    over a second channel, so that a long answer on the first one cannot delay it.
    """

    def __init__(
        self,
        project: Project,
        provider: Provider,
        target: Target,
        *,
        flow_id: str,
        write_nothing: bool = False,
        log: EffectLog | None = None,
    ) -> None:
        self.project = project
        self.config = project.config
        self.provider = provider
        self.target = target
        self.flow_id = flow_id
        self._write_nothing = write_nothing
        #: Where effects on the pod are logged.
        self.log: EffectLog = log or NoLog()
        #: How long to wait for a silent pod; applies to every request.
        self.patience = Patience(self.config.pod_wait_max_secs, pod=target.name)
        self._connection: Connection | None = None
        self._connecting = threading.RLock()
        self._client: AgentClient | None = None
        self._keeper: _LeaseKeeper | None = None
        self._clients: list[AgentClient] = []
        #: Removal of a rented pod after its last controller has gone.
        self.idle_removal = IdleRemoval(self)
        #: The pod's state before and after the requests of the open phase.
        self.states = PhaseStates()
        #: The commits of the runs on the pod, which only the holder of its lease adds to; None if
        #: the pod was not asked.
        self.trained_commits: frozenset[str] | None = None
        #: Facts of the host that the agent sent when it started.
        self.host: Mapping[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether the agent has answered in this session."""
        return self._client is not None

    @property
    def lost(self) -> str:
        """Why the pod's lease is no longer this session's; '' while it is, or was never taken."""
        return self._keeper.lost if self._keeper is not None else ""

    @property
    def round_trips(self) -> int:
        """The number of requests to the pod's agents so far, including repeated ones."""
        return sum(client.round_trips for client in self._clients)

    @property
    def findings(self) -> list[str]:
        """Damaged control files that the pod's agents found, a sentence each."""
        return list(dict.fromkeys(f for client in self._clients for f in client.findings))

    @property
    def connection(self) -> Connection:
        """The connection, opened on first use, and again if it was lost.

        Raises TransportError, OperationFailed.
        """
        with self._connecting:
            if self._connection is not None and not self._connection.is_alive():
                self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = self._connect()
            return self._connection

    @property
    def client(self) -> AgentClient:
        """The agent's client, started on first use. Raises TransportError, OperationFailed."""
        if self._client is None:
            client = self._new_client(self.connection)
            client.states = self.states
            self.host = client.hello
            self._client = client
        return self._client

    def request(
        self, op: str, args: Mapping[str, Any] | None = None, *, timeout_s: float = 60
    ) -> dict[str, Any]:
        """Send a request to the agent; see `AgentClient.request`."""
        if self.lost:
            raise OperationFailed(
                "lease-lost",
                f"this flow no longer holds the pod {self.target.name}: {self.lost}.",
                "Another controller took it over; use `--wf-sweep=resume` when the pod is free.",
            )
        return self.client.request(op, args, timeout_s=timeout_s)

    def request_to_its_end(
        self, op: str, args: Mapping[str, Any], show: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """Run an operation that may take hours, and cancel it if the caller is interrupted.

        A lost connection does not end it on the pod; Ctrl-C or a phase's time limit does. `show`
        gets the newest line of its log.
        """

        def on_event(event: Mapping[str, Any]) -> None:
            if show is not None and isinstance(event.get("line"), str):
                show(event["line"])

        id = f"r-{uuid.uuid4().hex}"
        try:
            return self.client.request(op, args, timeout_s=_LONGEST_S, id=id, on_event=on_event)
        except WfError:
            raise
        except BaseException:
            try:
                self.client.request(operations.CANCEL, {"id": id}, timeout_s=15)
            except (WfError, TimeoutError, OSError):
                pass  # its own time limits end it; lease and journal protect the next flow
            raise

    def hold_lease(self) -> None:
        """Take the pod's lease and keep it until `close`.

        Raises OperationFailed('lease-held') naming its holder and since when. A lease
        of this host and project whose process has provably ended is taken over at once.
        """
        if self._keeper is not None:
            return
        owner = _owner(self.project, self.flow_id)
        args: dict[str, Any] = {"owner": owner, "ttl_s": LEASE_TTL_S}
        try:
            taken = self.request(operations.LEASE_TAKE, args)
        except OperationFailed as e:
            if e.kind != "lease-held" or not _has_provably_ended(e.facts.get("owner"), owner):
                raise
            taken = self.request(
                operations.LEASE_TAKE, {**args, "takeover_token": e.facts["token"]}
            )
        self.client.token = int(taken["token"])
        self._keeper = _LeaseKeeper(
            lambda: self._new_client(self.connection), self.client.token, _RENEW_EVERY_S
        )
        threads.start(self._keeper)
        self.idle_removal.try_schedule()

    def watching(self) -> AbstractContextManager[None]:
        """Wait POD_SILENCE_MAX_SECS for a silent pod in the block, as what is watched runs long
        and does not need the controller."""
        return self.patience.limited(self.config.pod_silence_max_secs)

    def state(self) -> dict[str, Any]:
        """The pod's state record."""
        return self.request(operations.STATE)

    def connection_facts(self) -> dict[str, str]:
        """How the pod was reached and authenticated, for the evidence."""
        return self.connection.facts()

    def close(self, copy: Mapping[str, str] | None = None) -> str:
        """Release the lease and close the connection. Never raises; can be called again.

        A `copy` of a record, ``{name, data (base64)}``, is left on the pod with the same request.
        Returns why it was not, or may not have been; '' if it was.
        """
        self.idle_removal.stop()
        why = self._release(copy)
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return why

    def _release(self, copy: Mapping[str, str] | None) -> str:
        keeper, self._keeper = self._keeper, None
        if keeper is None or self._client is None:
            return "this flow does not hold the pod"
        keeper.stop(1 if self.patience.is_over else 12)
        if keeper.lost:
            return keeper.lost
        try:
            with self.patience.limited(_DROP_S):
                if copy is None:
                    self._client.request(operations.LEASE_DROP, timeout_s=_DROP_S)
                else:
                    args = {**copy, "drop": True}
                    self._client.request(operations.PUT, args, timeout_s=_DROP_S)
        except (WfError, TimeoutError, OSError) as e:
            return str(e) or "no answer"  # the lease expires
        return ""

    def disconnect(self) -> None:
        """Close the connection to a pod that will be deleted, without releasing its lease."""
        if self._keeper is not None:
            self._keeper.lost = "the pod is deleted"
        self.close()

    def _new_client(self, connection: Connection) -> AgentClient:
        client = AgentClient(
            connection,
            self.config.values,
            write_nothing=self._write_nothing,
            reconnect=lambda: self.connection,
            log=self.log,
            patience=self.patience,
        )
        self._clients.append(client)
        return client

    def _connect(self) -> Connection:
        """Open the connection, as long as patience lasts."""
        patience, target, provider = self.patience, self.target, self.provider
        patience.demand_a_try()
        within_s = patience.left_s
        root = str(self.project.root)
        named = {"transport": target.transport, "target": target.name, "address": target.address}
        with self.log.effect("connect", named) as outcome:
            try:
                opened = in_background(
                    lambda: provider.connect(
                        target, self.config, root, read_only=self._write_nothing
                    ),
                    within_s,
                    lambda late: late.close(),
                )
            except TimeoutError:
                raise Unreachable(
                    f"no connection to {target.address or target.name} within {within_s:g} s.",
                    "Check that the machine runs, and its host and port.",
                ) from None
            outcome.update(opened.facts())
            return opened


def silence_of(patience: Patience, what: str) -> News:
    """News of `what`: why the pod does not answer, when it is lost, and for how long so far."""
    why = f" ({patience.why.rstrip('.')})" if patience.why else ""
    return News(
        what,
        f"no answer from the pod{why}; lost after {span(patience.limit_s)}; silent for",
        kind="silent",
        since=time.monotonic() - patience.silent_s,
    )


class _LeaseKeeper(threading.Thread):
    """Renews the lease until `stop`; `lost` is why it no longer can."""

    def __init__(self, new_client: Callable[[], AgentClient], token: int, every_s: float) -> None:
        super().__init__(name="wf-lease", daemon=True)
        self._new_client = new_client
        self._token = token
        self._every_s = every_s
        self._stopped = threading.Event()
        #: Why the lease is lost; empty as long as it is believed to be held.
        self.lost = ""

    def run(self) -> None:
        client: AgentClient | None = None
        while not self._stopped.wait(self._every_s):
            try:
                if client is None:
                    client = self._new_client()
                    client.token = self._token
                client.request(operations.LEASE_RENEW, {}, timeout_s=10)
            except OperationFailed as e:
                if e.kind in ("lease-lost", "lease-held"):
                    self.lost = e.message
                    break
            except (TransportError, TimeoutError, OSError):
                continue  # unknown: the next renewal shows, and the pod's clock decides
        if client is not None:
            client.close()

    def stop(self, within_s: float) -> None:
        self._stopped.set()
        # an interruption may have come during the start
        if self.is_alive():
            self.join(timeout=within_s)


def _owner(project: Project, flow_id: str) -> dict[str, Any]:
    # two members of one flow are two owners: they must not share a pod
    part = {"member": project.member} if project.member else {}
    return {
        **part,
        "host": socket.gethostname(),
        "user": user.name(),
        "pid": os.getpid(),
        "start_time": process.start_time(os.getpid()),
        # a pid is meaningful only in the same boot and pid namespace
        "boot": process.boot_id(),
        "pids": _link("/proc/self/ns/pid"),
        "project": project.config.wf_project,
        "folder": str(project.root),
        "flow_id": flow_id,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _has_provably_ended(holder: object, me: Mapping[str, Any]) -> bool:
    """Whether `holder` was a process of this host and project that no longer runs."""
    if not isinstance(holder, Mapping):
        return False
    if any(
        holder.get(key) != me[key] for key in ("host", "user", "project", "folder", "boot", "pids")
    ):
        return False
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    return process.has_ended(pid, holder.get("start_time"))


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
