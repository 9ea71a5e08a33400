"""P80 of a pod that is gone: nothing can be fetched from it, and results may be lost with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_wf.errors import OperationFailed
from pytest_wf.wire.rows import RowStatus
from pytest_wf.wire.states import DRY_RUN, NOT_SELECTED, OTHER_POD, ROW_ENDED

#: The most rows that a message names.
_SHOWN = 20
#: States of rows that have no results.
_WITHOUT_RESULTS = frozenset({DRY_RUN, NOT_SELECTED, OTHER_POD})


def why_nothing_is_missing(
    name: str, rows: Sequence[RowStatus], elsewhere: Collection[str], here: Collection[str]
) -> str:
    """Why P80 has nothing to fetch for member `name`, whose pod is gone.

    `rows` are the campaign's, in the pod's last known status; `elsewhere` are those that other
    pods have now, and `here` those with verified results on this machine. Raises
    OperationFailed('incomplete') naming the rows whose results are lost, or may be.
    """
    own = [row for row in rows if row.state not in _WITHOUT_RESULTS]
    left = [row for row in own if row.run_id not in elsewhere and row.run_id not in here]
    if left:
        ended = [row.run_id for row in left if row.state in ROW_ENDED]
        unknown = [row.run_id for row in left if row.state not in ROW_ENDED]
        lost = [f"the results of {_named(ended)} are lost with it"] if ended else []
        lost += [f"how {_named(unknown)} ended is unknown"] if unknown else []
        raise OperationFailed(
            "incomplete",
            f"{name} is gone: {'; '.join(lost)}.",
            "Train them on other pods with `--wf-sweep=resume --wf-wait=true`.",
        )
    again = [row.run_id for row in own if row.state in ROW_ENDED and row.run_id in elsewhere]
    said = f"{name} is gone: none of its rows needs it, as other pods have them or they are here"
    return f"{said}; {_named(again)} had ended on it and went to other pods" if again else said


def _named(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"row{'s' * (len(rows) != 1)} {', '.join(rows[:_SHOWN])}{more}"
