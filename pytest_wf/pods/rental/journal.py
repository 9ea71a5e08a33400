"""The project's journal of rentals: a file and its copy per rental, written before any request.

The provider's listing says what exists; the journal says what was intended: under which name and
key a pod was requested, by which flow, and how it proved its identity.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pytest_wf.config.keys import prefix_of
from pytest_wf.errors import OperationFailed
from pytest_wf.wire import user
from pytest_wf.wire.files import (
    COPY,
    SEAL,
    BadJson,
    is_sealed,
    pretty_json,
    read_json,
    sealed,
    write_atomic,
)
from pytest_wf.wire.process import has_ended, start_time

#: The main thread and the one that postpones a removal both change rentals.
_UPDATING = threading.Lock()
#: States of a rental whose pod may exist.
OPEN = ("asked", "rented", "deleting")


@dataclass(frozen=True)
class Rental:
    """One rental: what was requested, the result, and who did it."""

    name: str
    flow_id: str
    #: The idempotency key of the request.
    key: str
    #: The node's id and its readable name.
    node_id: str
    node: str
    gpus: int
    usd_per_hour: float
    asked_at: str
    #: 'asked', then 'rented' or 'void'; in the end 'deleting' and 'deleted'.
    state: str = "asked"
    ttl_s: int = 0
    pod_id: str = ""
    rented_at: str = ""
    #: When the provider will remove the pod by itself, as read back.
    removal_at: str = ""
    #: The owner of the account that it was rented with; '' if that is not known.
    account: str = ""
    #: The removal that is scheduled in case the controller is lost (WF_IDLE_DELETE_SECS).
    idle_at: str = ""
    #: Pods that existed before the request: none of them can be the rented one.
    known: tuple[str, ...] = ()
    #: The pod's host key at the first connection, and the nonce that was left on it then.
    host_key: str = ""
    nonce: str = ""
    #: The process that works with it.
    owner: Mapping[str, Any] = field(default_factory=dict)

    @property
    def used_by(self) -> str:
        """The flow that took it over last; '' for none."""
        return str(self.owner.get("flow_id") or "")

    @property
    def is_open(self) -> bool:
        """Whether its pod may exist."""
        return self.state in OPEN

    @property
    def is_held(self) -> bool:
        """Whether its owner may still be running; only a provably dead one is not."""
        return not _is_gone(self.owner)


class Journal:
    """The rentals of one project from one provider, in ``.wf/rentals/<provider>/``."""

    def __init__(self, project_dir: str | os.PathLike[str], provider: str) -> None:
        self.provider = provider
        self.folder = Path(project_dir) / ".wf" / "rentals" / provider
        #: Files that could not be read, and whose copies were read instead, one sentence each.
        self.findings: list[str] = []

    def write(self, rental: Rental) -> Rental:
        """Write `rental` and its copy; replaces the one of its name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = pretty_json(sealed({"schema": 1, **asdict(rental)}))
        # the copy first: an older one would stand in for the file, once that is damaged
        for path in reversed(_files(self.folder / f"{rental.name}.json")):
            if path.is_dir() and not path.is_symlink():
                path.rename(f"{path}.unreadable-{now().replace(':', '')}")
            write_atomic(str(path), content, 0o600)
        return rental

    def rentals(self) -> list[Rental]:
        """All rentals, the oldest first.

        Raises OperationFailed if the file of one and its copy are damaged.
        """
        names = {p.name.removesuffix(COPY) for p in self.folder.glob("*.json*")}
        names = {name for name in names if name.endswith(".json") and name[0] != "."}
        found = [self._read(self.folder / name) for name in sorted(names)]
        return sorted(found, key=lambda r: (r.asked_at, r.name))

    def of_pod(self, pod_id: str) -> Rental | None:
        """The rental that gave that pod."""
        return next((r for r in self.rentals() if r.pod_id == pod_id and pod_id), None)

    def update(self, rental: Rental, **changes: Any) -> Rental:
        """Write `changes` of `rental`; what others changed since it was read is kept."""
        with _UPDATING:
            path = self.folder / f"{rental.name}.json"
            current = self._read(path) if any(map(os.path.lexists, _files(path))) else rental
            return self.write(replace(current, **changes))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock against other processes that decide who owns an open rental."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _read(self, path: Path) -> Rental:
        whys = []
        for file in _files(path):
            try:
                found = _parsed(file)
            except (OSError, TypeError, ValueError) as e:
                whys.append(e.strerror if isinstance(e, OSError) else e)
                continue
            if whys:
                self._note(f"{path} cannot be read ({whys[0]}); its copy was read instead")
            return found
        raise OperationFailed(
            "state-unreadable",
            f"{path} cannot be read: {whys[0]}, nor its copy: {whys[1]}. It says what this project "
            f"has rented as {path.stem}.",
            f"Look at the provider's own list. If it has a pod {path.stem}, end it there, or set "
            f"{prefix_of(self.provider)}TARGET to its id. Then delete {path}*.",
        )

    def _note(self, finding: str) -> None:
        if finding not in self.findings:
            self.findings.append(finding)


def _files(path: Path) -> tuple[Path, Path]:
    """The file of a rental, and its copy, which is read if the file is damaged or gone."""
    return path, path.with_name(path.name + COPY)


def _parsed(path: Path) -> Rental:
    data = read_json(str(path))
    if not isinstance(data, dict) or data.pop("schema", None) != 1:
        raise BadJson("not a rental of this version")
    if not is_sealed({"schema": 1, **data}):
        raise BadJson("it was changed since it was written")
    data.pop(SEAL, None)
    data["known"] = tuple(data.get("known", ()))
    if {f.name for f in fields(Rental)} != set(data):
        raise BadJson("not the fields of a rental")
    return Rental(**data)


def now() -> str:
    """This moment, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_s(when: str) -> float | None:
    """Seconds since an API timestamp; None if it is not one."""
    try:
        then = datetime.fromisoformat(when.replace("Z", "+00:00"))
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return (datetime.now(timezone.utc) - then).total_seconds()


def this_process(flow_id: str = "") -> dict[str, Any]:
    """The owner of a rental: this process, so that its end can be proved."""
    return {
        "flow_id": flow_id,
        "host": socket.gethostname(),
        "user": user.name(),
        "pid": os.getpid(),
        "start_time": start_time(os.getpid()),
    }


def _is_gone(owner: Mapping[str, Any]) -> bool:
    if not owner:
        return True
    pid = owner.get("pid")
    if owner.get("host") != socket.gethostname() or type(pid) is not int or pid <= 0:
        return False
    return has_ended(pid, owner.get("start_time"))
