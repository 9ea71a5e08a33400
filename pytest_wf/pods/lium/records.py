"""Converts the SDK's records to ours: only what is used is taken, and an address is checked."""

from __future__ import annotations

import re
from typing import Any

from pytest_wf.pods.base import Pod
from pytest_wf.pods.rental.account import Offer

_SSH = re.compile(r"ssh ([A-Za-z0-9_][A-Za-z0-9_.-]*)@([A-Za-z0-9_.:-]+?)(?: -p ([0-9]{1,5}))?")


def offer_of(row: Any) -> Offer:
    """A node, from the SDK's record of it."""
    place = row.location if isinstance(row.location, dict) else {}
    free = row.available_gpu_count
    return Offer(
        id=str(row.id),
        huid=str(row.huid),
        gpu_type=str(row.gpu_type),
        machine_name=str(row.machine_name),
        gpu_count=int(row.gpu_count),
        free=int(row.gpu_count if free is None else free),
        usd_per_gpu=float(row.price_per_gpu or 0),
        tier=str(row.tier or ""),
        country=str(place.get("country") or ""),
        country_code=str(place.get("country_code") or ""),
        ports=row.available_port_count,
        whole_only=row.whole_host_only is True,
        often_fails=row.frequent_rent_failures is True,
    )


def pod_of(row: Any) -> Pod:
    """A pod, from the SDK's record of it."""
    node = row.executor
    return Pod(
        id=str(row.id),
        name=str(row.name),
        status=str(row.status or "unknown").upper(),
        address=_address(row.ssh_cmd),
        usd_per_hour=None
        if node is None or not node.price_per_hour
        else float(node.price_per_hour),
        rented_at=str(row.created_at or ""),
        huid=str(row.huid),
        removal_at=str(row.removal_scheduled_at or ""),
        node_id="" if node is None else str(node.id),
        key_name=_shown(getattr(row, "api_key_name", "")),
    )


def _shown(text: object) -> str:
    """A text of the API, made safe to show."""
    return "".join(c for c in str(text or "") if c.isprintable())[:80]


def _address(ssh_cmd: object) -> str:
    """`user@host:port` of what the API calls the SSH command; '' for anything else."""
    found = _SSH.fullmatch(ssh_cmd.strip()) if isinstance(ssh_cmd, str) else None
    if found is None or not 0 < int(found[3] or 22) < 65536:
        return ""
    host = f"[{found[2]}]" if ":" in found[2] else found[2]
    return f"{found[1]}@{host}:{found[3] or 22}"


def bare_pod(pod: Pod, of: Any) -> dict[str, Any]:
    """The fields of the SDK's pod record, of which a deletion needs only the id."""
    from dataclasses import MISSING, fields

    needed = {f.name: None for f in fields(of) if f.default is MISSING}
    return {**needed, "id": pod.id, "name": pod.name, "huid": pod.huid, "status": pod.status}
