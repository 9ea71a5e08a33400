"""The recipe of a row: what decides its training besides its own cells and the commit.

It is recorded with every campaign and run, part by part, so that a start can say which one
differs. A part is named by its config key, or by a phrase if it has none.
"""

import os
from typing import Dict, List, Optional

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.files import BadJson, read_json
from pytest_wf.wire.rows import Recipe, Row

_KEYS = (
    "TRAIN_LAUNCHER",
    "TRAIN_COMMAND_TEMPLATE",
    "TRAIN_ENTRYPOINT",
    "TRAIN_WORKDIR_REL",
    "CHECKOUT_INSTALL_CMD",
    "CHECKOUT_POST_CMD",
    "DATA_DIR",
)
#: The most characters of a value that are shown.
_LONGEST = 120
_GPUS, _PROCESSES, _NODES = "GPUs a row", "processes a row", "nodes a row"


def of_campaign(settings: Settings, capacity: int, dry_run: bool) -> Recipe:
    """The recipe of rows whose cells set none of it; `capacity` is the pod's number of GPUs.

    The versions of Python and torch are those of the last checkout; without one they are left out.
    """
    found: Dict[str, str] = {key: settings[key] for key in _KEYS}
    found[_GPUS] = str(settings.int("GPUS_PER_RUN") or capacity)
    found[_PROCESSES] = settings["NPROC_PER_NODE"]
    found[_NODES] = "1"
    found["SWEEP_DRY_RUN"] = "1" if dry_run else "0"
    return {**found, **_versions(settings)}


def of_row(campaign: Recipe, row: Row) -> Recipe:
    """The recipe of one row of a campaign."""
    gpus = str(row.gpus or campaign.get(_GPUS, "0"))
    processes = campaign.get(_PROCESSES) or str(max(1, int(gpus)))
    return {**campaign, _GPUS: gpus, _PROCESSES: processes, _NODES: str(row.nodes or 1)}


def differences(wanted: Recipe, recorded: Recipe) -> List[str]:
    """Each part of `wanted` that differs from `recorded`, with both values."""
    return [
        "%s %s, now %s" % (part, _shown(recorded.get(part)), _shown(value))
        for part, value in sorted(wanted.items())
        if recorded.get(part) != value
    ]


def _shown(value: Optional[str]) -> str:
    if not value:
        return "unknown" if value is None else "empty"
    return repr(value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "...")


def _versions(settings: Settings) -> Dict[str, str]:
    try:
        left = read_json(os.path.join(settings.control, "checkout.json"))
    except (OSError, BadJson):
        return {}
    if not isinstance(left, dict):
        return {}
    torch = left.get("torch")
    version = torch.get("version") if isinstance(torch, dict) else None
    return {"Python": str(left.get("python")), "torch": str(version or "none")}
