"""The config keys of Lium, each behind the prefix `LIUM_`."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_wf.config import formats
from pytest_wf.config.keys import TARGET, key
from pytest_wf.config.types import matching, maybe, or_empty
from pytest_wf.pods.rental.config_keys import RentalKeys

_POD = or_empty(
    matching(
        "pod id, name or huid",
        r"(?![0-9]+\Z)[A-Za-z0-9][A-Za-z0-9._-]*",
        "not a pod's id, name or huid; a bare number is an index, and an index shifts",
        "Write the id, name or huid that `lium ps` shows.",
    )
)
_NODE = or_empty(
    matching(
        "node id or huid",
        r"(?![0-9]+\Z)[A-Za-z0-9][A-Za-z0-9._-]*",
        "not a node's id or huid; a bare number is an index, and an index shifts",
        "Write the UUID or huid that `lium ls` shows.",
    )
)
_VOLUME = or_empty(
    matching(
        "`id:<huid>`, `new:name=<name>`",
        r"id:[A-Za-z0-9][A-Za-z0-9_-]*|new:name=[^,=\s]+(,desc=[^,=]+)?",
        "not a volume",
        "Write id:<huid>, or new:name=<name>.",
    )
)


@dataclass(frozen=True)
class LiumKeys(RentalKeys):
    """Keys of Lium besides those of every renting provider."""

    target: str = key(
        _POD,
        "",
        "P20",
        "Work on this pod of Lium; comes before `OPS_DEFAULT_HOST`.",
        role=TARGET,
        example="my-pod",
    )
    poll_secs: int = key(
        formats.INTERVAL,
        "2",
        "P10, P90",
        "Time between two listings of the account's pods; Lium allows 60 requests a minute.",
    )
    gpu: str = key(formats.WORD, "", "P10", "GPU model to rent, such as H100.", example="H100")
    count: int = key(formats.COUNT, "1", "P10", "GPUs to rent.")
    country: str = key(formats.WORD, "", "P10", "Country to rent in.", example="US")
    ports: int | None = key(maybe(formats.COUNT), "", "P10", "Open ports to ask for.", example="2")
    executor_id: str = key(
        _NODE, "", "P10", "Rent on this node and no other.", example="brave-lion-1a"
    )
    volume: str = key(_VOLUME, "", "P10, P30", "Volume to mount.", example="id:abc")
