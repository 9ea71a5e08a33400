"""The lease on the pod that one controller holds."""

import os
import time
from typing import Any, Dict, Optional

from pytest_wf.agent.control import clock, control_files, disk_reserve, locks
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import COPY
from pytest_wf.wire.messages import Refusal
from pytest_wf.wire.process import boot_id

SCHEMA = 1
#: Seconds until a lease that is not renewed expires.
TTL_S = 30.0
MAX_TTL_S = 3600.0
_FREE = {"token": 0, "owner": None, "since": "", "boot_id": "", "expires_boot_s": 0.0}
_REMEDY = "The next command that changes the pod takes it anew; run yours again."


def current(settings: Settings) -> Optional[Dict[str, Any]]:
    """The current lease: token, owner, since, expires_in_s, alive; None if it is free.

    An unreadable lease is noted and counts as free: its holder is refused from then on.
    """
    try:
        held = _read(settings)
    except control_files.Damaged as e:
        control_files.note("%s; the next command that changes the pod takes it anew" % e.message)
        return None
    return _shown(held) if held["owner"] is not None else None


def take(
    settings: Settings,
    owner: Dict[str, Any],
    ttl_s: float = TTL_S,
    takeover_token: Optional[int] = None,
) -> Dict[str, Any]:
    """Take the lease for `owner`; its token is larger than any before.

    A living lease of another holder is refused with 'lease-held', unless `takeover_token` is its
    token: with it, a controller on the holder's own host and project says that it has proved the
    holder gone. An expired lease may be taken by anyone. So may an unreadable one, which is moved
    aside: its holder has a smaller token, which is refused from then on.
    """
    with locks.locked(_lock_path(settings)):
        try:
            held = _read(settings)
        except control_files.Damaged:
            held = _begun_anew(settings)
        taken_from = None
        if held["owner"] is not None:
            shown = _shown(held)
            if held["owner"] == owner and shown["alive"]:
                return _write(settings, held, owner, held["token"], ttl_s, None)
            if shown["alive"] and not _may_take_over(shown, owner, takeover_token):
                raise _held(shown)
            taken_from = shown
        return _write(settings, held, owner, held["token"] + 1, ttl_s, taken_from)


def renew(settings: Settings, token: Optional[int]) -> Dict[str, Any]:
    """Renew the lease for its full time. Raises Refusal 'lease-lost'."""
    with locks.locked(_lock_path(settings)):
        held = _held_by(settings, token)
        return _write(settings, held, held["owner"], held["token"], held["ttl_s"], None)


def drop(settings: Settings, token: Optional[int]) -> Dict[str, Any]:
    """Release the lease, so that the next holder need not wait for its expiry."""
    with locks.locked(_lock_path(settings)):
        held = _held_by(settings, token)
        _save(settings, dict(held, owner=None))
    return {"token": held["token"]}


def check(settings: Settings, token: Optional[int]) -> None:
    """Raise Refusal 'lease-lost' unless `token` is the current lease's.

    An expired lease that nobody has taken still belongs to its holder, and is renewed. On a full
    disk it cannot be renewed, and stays the holder's, because nobody can take it either.
    """
    with locks.locked(_lock_path(settings)):
        held = _held_by(settings, token)
        if not _shown(held)["alive"]:
            try:
                _write(settings, held, held["owner"], held["token"], held["ttl_s"], None)
            except OSError as e:
                if e.errno not in disk_reserve.FULL:
                    raise


def fence(settings: Settings, token: Optional[int]) -> None:
    """Raise Refusal 'lease-lost' if another controller has taken the lease since `token`.

    For work that may outlive its controller: a dropped or expired lease does not make the work
    void, a new holder does.
    """
    if _read(settings)["token"] != token:
        raise Refusal(
            "lease-lost",
            "another controller took the pod while this was under way",
            "See `wf fsm-status` for who holds it.",
        )


def _may_take_over(
    shown: Dict[str, Any], owner: Dict[str, Any], takeover_token: Optional[int]
) -> bool:
    holder = shown["owner"]
    return takeover_token == shown["token"] and all(
        holder.get(key) == owner.get(key) for key in ("host", "project", "folder")
    )


def _held_by(settings: Settings, token: Optional[int]) -> Dict[str, Any]:
    held = _read(settings)
    if held["owner"] is None or token is None or token != held["token"]:
        shown = _shown(held) if held["owner"] is not None else None
        raise Refusal(
            "lease-lost",
            "this controller does not hold the pod (token %s)%s"
            % (token, "; %s does" % _owner_text(shown) if shown else ""),
            "Another controller may use it; see `wf fsm-status`.",
            {"lease": shown},
        )
    return held


def _held(shown: Dict[str, Any]) -> Refusal:
    return Refusal(
        "lease-held",
        "the pod is held by %s" % _owner_text(shown),
        "Wait until it ends, or end it there with Ctrl-C: a sweep continues without it. "
        "An abandoned lease expires in %.0f s." % shown["expires_in_s"],
        {key: shown[key] for key in ("owner", "since", "expires_in_s", "token")},
    )


def _owner_text(shown: Dict[str, Any]) -> str:
    owner = shown["owner"]
    return "%s@%s (pid %s, flow %s) since %s" % (
        owner.get("user", "?"),
        owner.get("host", "?"),
        owner.get("pid", "?"),
        owner.get("flow_id") or "none",
        shown["since"],
    )


def _shown(held: Dict[str, Any]) -> Dict[str, Any]:
    left = held["expires_boot_s"] - _uptime_s() if held["boot_id"] == boot_id() else 0.0
    return {
        "token": held["token"],
        "owner": held["owner"],
        "since": held["since"],
        "expires_in_s": round(max(left, 0.0), 3),
        "alive": left > 0,
    }


def _write(
    settings: Settings,
    held: Dict[str, Any],
    owner: Dict[str, Any],
    token: int,
    ttl_s: float,
    taken_from: Optional[Dict[str, Any]],
) -> Dict[str, Any]:
    ttl_s = min(max(float(ttl_s), 0.1), MAX_TTL_S)
    same = token == held["token"]
    _save(
        settings,
        {
            "schema": SCHEMA,
            "token": token,
            "owner": owner,
            "since": held["since"] if same else clock.now(),
            "ttl_s": ttl_s,
            "expires_boot_s": _uptime_s() + ttl_s,
            "boot_id": boot_id(),
            "taken_from": held.get("taken_from") if same else taken_from,
        },
    )
    return {"token": token, "expires_in_s": ttl_s, "taken_from": taken_from}


def _read(settings: Settings) -> Dict[str, Any]:
    return control_files.parsed(_path(settings), _checked, SCHEMA, remedy=_REMEDY) or dict(_FREE)


def _checked(held: Dict[str, Any]) -> Dict[str, Any]:
    if (
        type(held.get("token")) is not int
        or not isinstance(held.get("owner"), (dict, type(None)))
        or not isinstance(held.get("expires_boot_s"), (int, float))
        or not isinstance(held["boot_id"], str)
        or not isinstance(held["since"], str)
    ):
        raise TypeError
    return held


def _begun_anew(settings: Settings) -> Dict[str, Any]:
    """A free lease whose next token is larger than any before: tokens were counted from 1."""
    for path in (_path(settings), _path(settings) + COPY):
        control_files.set_aside(path)
    return dict(_FREE, token=int(time.time()))


def _save(settings: Settings, held: Dict[str, Any]) -> None:
    def write(path: str, content: bytes) -> None:
        disk_reserve.write(settings, path, content)

    control_files.write(_path(settings), held, write)
    disk_reserve.keep(settings)


def _path(settings: Settings) -> str:
    return os.path.join(settings.control, "lease.json")


def _lock_path(settings: Settings) -> str:
    return os.path.join(settings.control, "lease.lock")


def _uptime_s() -> float:
    # boot time, not wall time: it never steps, and it goes on while the machine sleeps
    return time.clock_gettime(time.CLOCK_BOOTTIME)
