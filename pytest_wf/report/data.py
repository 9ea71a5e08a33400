"""The data for the page's scripts: one JSON document, with secrets masked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_wf.config.ranking import goal_of
from pytest_wf.project.parameters import SEED, Parameters, parameters_of
from pytest_wf.report.build import Page
from pytest_wf.report.model import PageRow
from pytest_wf.wire.redact import Redactor

#: Fields of a row that the data has in another form, or that only the page's own parts need.
_OTHERWISE = frozenset(
    {
        *("curves", "axes", "metrics", "extremes", "measures", "sources"),
        *("parameters", "links", "trackers"),
    }
)
#: Above this, not every whole number is a double.
_MAX_WHOLE = 2**53


def data_of(page: Page, redactor: Redactor) -> dict[str, Any]:
    """The data that scripts draw, with values in the order of `parameters` and `measured`."""
    sources = sorted({source for row in page.rows for source in row.sources.values()})
    data: Any = redactor.shown_value(
        {
            "flows": [{"id": flow.folder.flow_id, "label": flow.label} for flow in page.flows],
            "metrics": page.metrics,
            "measured": page.measured,
            "goals": {n: goal_of(n) for n in (*page.measured, *page.metrics) if goal_of(n)},
            "rank": _rank(page),
            "sources": sources,
            "parameters": page.parameters,
            "tuned": page.tuned,
            "axes": sorted({axis for row in page.rows for axis in row.axes}, reverse=True),
        }
    )
    data["rows"] = [_row(row, page, sources, redactor) for row in page.rows]
    return {**data, "live": _live(page)}


def script_json(value: Any) -> str:
    """`value` as JSON for a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _rank(page: Page) -> dict[str, Any] | None:
    rule, ranks = page.ranking.rule, page.ranking.ranks
    if rule is None:
        return None
    return {"metric": page.ranked_by, "goal": rule.goal, "ranked": len(ranks)}


def _live(page: Page) -> dict[str, Any] | None:
    if page.drawn_every_s is None:
        return None
    return {"drawn_at": page.drawn_at, "every_s": page.drawn_every_s}


def _row(row: PageRow, page: Page, sources: Sequence[str], redactor: Redactor) -> dict[str, Any]:
    """A row for the scripts, without empty fields."""
    names = [f.name for f in dataclasses.fields(row) if f.name not in _OTHERWISE]
    fields: dict[str, Any] = {name: getattr(row, name) for name in names}
    fields["links"] = [dataclasses.asdict(link) for link in row.links]
    fields["last"] = _in_order(row.metrics, page.measured)
    fields["extremes"] = _in_order(row.extremes, page.measured)
    places = {name: sources.index(source) for name, source in row.sources.items()}
    fields["sources"] = _in_order(places, page.measured)
    kept = {name: value for name, value in fields.items() if value not in ("", None, [], {})}
    masked: Any = redactor.shown_value(kept)
    masked["params"] = [*map(_exact, _in_order(masked_parameters(row, redactor), page.parameters))]
    # numbers alone: nothing to mask
    masked["curves"] = {redactor.shown(name): curve for name, curve in row.curves.items()}
    masked["axes"] = row.axes
    return {name: value for name, value in masked.items() if value not in ([], {})}


def masked_parameters(row: PageRow, redactor: Redactor) -> Parameters:
    """A row's parameters with secrets masked, even in numbers."""
    overrides = redactor.shown(row.overrides)
    found = row.parameters
    if overrides != row.overrides:
        found = parameters_of(row.config, None, overrides)
        found.update({SEED: row.parameters[SEED]} if SEED in row.parameters else {})
    return {
        name: redactor.shown(value) if isinstance(value, str) else value
        for name, value in found.items()
    }


def _in_order(values: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """The values of `names`, None for missing ones; none at the end."""
    found = [_plain(values.get(name)) for name in names]
    while found and found[-1] is None:
        found.pop()
    return found


def _exact(value: Any) -> Any:
    """`value` for scripts: a whole number that has no exact double as text."""
    is_large = isinstance(value, int) and abs(value) > _MAX_WHOLE
    return str(value) if is_large else value


def _plain(value: Any) -> Any:
    """`value` for JSON: a float that is not finite as text."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
