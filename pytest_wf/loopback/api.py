"""The HTTP server of a loopback account: Lium's API, as far as its SDK uses it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.parse
import uuid
from bisect import bisect_left
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from pytest_wf.loopback.account import Account, Machines, Node, Refusal
from pytest_wf.loopback.behaviour import Behaviour
from pytest_wf.loopback.sshd import nowhere

#: Called with the number of the request, its route, and 'before' or 'after' it took effect.
Watch = Callable[[int, str, str], None]

_ROUTES = (
    ("GET", "/version", "version"),
    ("GET", "/machines", "machines"),
    ("GET", "/executors", "nodes"),
    ("GET", "/executors/default-docker-image", "images"),
    ("POST", "/executors/{id}/rent", "rent"),
    ("GET", "/templates", "templates"),
    ("GET", "/templates/{id}", "template"),
    ("GET", "/ssh-keys", "keys"),
    ("POST", "/ssh-keys", "new-key"),
    ("GET", "/pods", "pods"),
    ("GET", "/pods/{id}", "pod"),
    ("GET", "/pods/{id}/events", "events"),
    ("DELETE", "/pods/{id}", "delete"),
    ("POST", "/pods/{id}/schedule-removal", "schedule"),
    ("DELETE", "/pods/{id}/schedule-removal", "unschedule"),
    ("POST", "/pods/{id}/reboot", "reboot"),
    ("GET", "/volumes", "volumes"),
    ("POST", "/volumes", "new-volume"),
    ("GET", "/users/me", "me"),
    ("GET", "/billing/statement", "statement"),
)
_PATTERNS = tuple(
    (method, re.compile(path.replace("{id}", "([^/]+)")), name) for method, path, name in _ROUTES
)
_OPEN = frozenset({"version", "machines", "nodes", "images", "templates", "template"})
_SCOPE = {"rent": "rent", "delete": "manage", "schedule": "manage", "statement": "billing"}
_TEMPLATE = {
    "id": "7d1f6d1e-0000-4000-8000-000000000001",
    "name": "pytorch",
    "docker_image": "daturaai/pytorch",
    "docker_image_tag": "2.8-cuda12.8",
    "category": "PYTORCH",
    "status": "VERIFY_SUCCESS",
    "supports_volume_encryption": False,
    "user_id": None,
}


def route_of(method: str, path: str) -> tuple[str, str]:
    """The route's name and the id in the path; 'unknown' for all other routes."""
    for known, pattern, name in _PATTERNS:
        found = pattern.fullmatch(path)
        if known == method and found:
            return name, found[1] if found.groups() else ""
    return "unknown", ""


class LoopbackLium:
    """A Lium account that listens on 127.0.0.1 while it is entered as a context.

    `machines` makes the machine of a pod: `SshdPods` for real SSH servers; without it pods
    have an address at which no server listens.
    """

    api_key = "loopback-key"
    #: The owner of the account.
    user_id = "u-1"

    def __init__(
        self,
        nodes: list[Node] | None = None,
        behaviour: Behaviour | None = None,
        machines: Machines = nowhere,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.account = Account([Node()] if nodes is None else nodes, self.behaviour, machines)
        #: The routes of the requests, in their order.
        self.requests: list[str] = []
        #: When each of them arrived (monotonic).
        self.times: list[float] = []
        self.watch: Watch = lambda number, route, moment: None
        self._server = _Server(("127.0.0.1", 0), _Door)
        self._server.api = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="loopback-lium", daemon=True
        )

    @property
    def base_url(self) -> str:
        """The value for LIUM_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    def busiest(self, window_s: float = 60.0) -> int:
        """The most requests that arrived within any `window_s` seconds."""
        with self.account.lock:
            times = list(self.times)
        return max((bisect_left(times, t + window_s) - n for n, t in enumerate(times)), default=0)

    def environ(self) -> dict[str, str]:
        """The environment variables that direct the SDK here."""
        return {
            "LIUM_BASE_URL": self.base_url,
            "LIUM_API_KEY": self.api_key,
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self) -> LoopbackLium:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.account.end_all()

    def answer(
        self, route: str, id: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> Any:
        """Carry out a request; the answer. Raises Refusal."""
        if route == "unknown":
            raise Refusal(404, "not_found", "No such route")
        if route not in _OPEN:
            if headers.get("X-API-KEY") != self.api_key:
                raise Refusal(401, "unauthorized", "Invalid API key")
            scope = _SCOPE.get(route, "read")
            if scope not in self.behaviour.scopes:
                raise Refusal(
                    403, "missing_scope", f"API key 'ci' does not have the '{scope}' scope"
                )
        return self._effect(route, id, query, body, headers)

    def _effect(
        self, route: str, id: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> Any:
        account = self.account
        if route == "nodes":
            names = {n for n in query.get("machine_names", "").split(",") if n}
            least, most = query.get("gpu_count_gte", 0), query.get("gpu_count_lte", 1 << 20)
            return account.list_nodes(names, (int(least), int(most)))
        if route == "pods":
            return account.list_pods()
        if route == "pod":
            return account.pod(id).row()
        if route == "rent":
            return account.rent(id, body, headers.get("Idempotency-Key", ""))
        if route == "delete":
            account.delete(id)
        elif route in ("schedule", "unschedule"):
            account.schedule(id, (body or {}).get("removal_scheduled_at"))
        elif route == "reboot":
            account.reboot(id)
        elif route in ("new-key", "new-volume"):
            row = {"id": str(uuid.uuid4()), "created_at": "2026-01-01T00:00:00Z", **body}
            (account.ssh_keys if route == "new-key" else account.volumes).append(row)
            return row
        else:
            return self._read(route)
        return {"success": True}

    def _read(self, route: str) -> Any:
        account = self.account
        if route == "version":
            features = ["rent_idempotency"] if self.behaviour.idempotent else []
            return {"features": features}
        if route == "machines":
            return [{"name": name} for name in sorted({n.machine_name for n in account.nodes})]
        if route == "images":
            return [{k: _TEMPLATE[k] for k in ("docker_image", "docker_image_tag")}]
        if route == "statement":
            with account.lock:
                rows = [{"pod_id": p.id, "total": p.cost_usd, "days": []} for p in account.pods]
            return {"total": sum(float(str(r["total"])) for r in rows), "pods": rows}
        return {
            "templates": [_TEMPLATE],
            "template": _TEMPLATE,
            "keys": account.ssh_keys,
            "volumes": account.volumes,
            "events": [],
            "me": {"id": self.user_id, "email": "user@example.invalid", "balance": 100.0},
        }[route]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: LoopbackLium

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has disconnected."""


class _Door(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def _serve(self) -> None:
        api = self.server.api
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        route, id = route_of(self.command, url.path.removeprefix("/api"))
        with api.account.lock:
            number = len(api.requests)
            api.requests.append(route)
            api.times.append(time.monotonic())
            fault = next((f for f in api.behaviour.faults if f.strikes(route)), None)
        time.sleep(api.behaviour.latency_s)
        api.watch(number, route, "before")
        if fault is not None and fault.kind == "drop-before":
            return self._drop()
        if fault is not None and fault.kind.isdigit():
            code = "API_KEY_BUDGET_EXCEEDED" if fault.kind == "402" else "fault"
            return self._say(int(fault.kind), _error(code, "A fault"), fault.retry_after_s)
        try:
            query = dict(urllib.parse.parse_qsl(url.query))
            body = json.loads(raw) if raw else None
            said = api.answer(route, id, query, body, dict(self.headers))
            status = 200
        except Refusal as e:
            said, status = _error(e.code, str(e)), e.status
        api.watch(number, route, "after")
        if fault is not None:
            return self._drop()
        return self._say(status, said)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _say(self, status: int, body: Any, retry_after_s: float | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429 and retry_after_s is not None:
            self.send_header("Retry-After", f"{retry_after_s:g}")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - the server's names


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "hint": ""}, "message": message}
