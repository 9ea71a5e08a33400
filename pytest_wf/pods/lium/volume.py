"""LIUM_VOLUME: `id:<huid>` names a volume, `new:name=<name>[,desc=…]` makes one, once."""

from __future__ import annotations

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.lium.api import Account

__all__ = ["volume_of"]


def volume_of(account: Account, written: str) -> str | None:
    """The id of the volume that LIUM_VOLUME means; None where it is empty.

    A volume to be made that exists under its name is used again. Raises OperationFailed.
    """
    if not written:
        return None
    volumes = account.volumes()
    if written.startswith("id:"):
        wanted = written[3:]
        found = [v for v in volumes if wanted in (v["id"], v["huid"])]
    else:
        name, _, description = written[len("new:name=") :].partition(",desc=")
        found = [v for v in volumes if v["name"] == name]
        if not found:
            return account.new_volume(name, description)
    if len(found) != 1:
        listed = ", ".join(f"{v['huid']} ({v['name']})" for v in volumes) or "none"
        raise OperationFailed(
            "volume",
            f"LIUM_VOLUME={written} means {len(found)} volumes; the account has: {listed}.",
            "Write id:<id> of one of them, or new:name=<name>.",
        )
    return str(found[0]["id"])
