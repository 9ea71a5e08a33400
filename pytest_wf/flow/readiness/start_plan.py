"""The effect of a start on the runs on the pod, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_wf.evidence.fetch_record import size_text


def plan_line(answer: Mapping[str, Any]) -> str:
    """The plan of a start in the pod's answer, in one line."""
    plan, archive = answer["plan"], answer["archive"]
    left = f", {int(plan['not_selected'])} not selected" if plan.get("not_selected") else ""
    runs = f"{int(archive['runs'])} run{'' if archive['runs'] == 1 else 's'}"
    return (
        f"{int(plan['adopted'])} adopted, {int(plan['again'])} trained again, "
        f"{int(plan['new'])} new{left}; "
        f"the archive holds {runs}, {size_text(int(archive['bytes']))}"
    )
