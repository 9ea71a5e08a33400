"""A sweep's rows, as both sides know them: the row itself, its status, its result.

Each class is read from JSON by `from_json`, which raises `Malformed` for a field of the wrong
type and ignores unknown ones, and written as JSON by `as_json`. Other packages import the names
from here.
"""

from pytest_wf.wire.rows.campaign_status import CampaignStatus
from pytest_wf.wire.rows.extremes import NO_SOURCES, Extremes, extremes_in, measures, sources_in
from pytest_wf.wire.rows.fields import Malformed, listed
from pytest_wf.wire.rows.note import Note, notes_in
from pytest_wf.wire.rows.row import Row
from pytest_wf.wire.rows.row_status import Live, RowStatus
from pytest_wf.wire.rows.run_result import NO_RECIPE, SCHEMA, FoundRun, Recipe, RunResult, recipe_in

__all__ = [
    "NO_RECIPE",
    "NO_SOURCES",
    "SCHEMA",
    "CampaignStatus",
    "Extremes",
    "FoundRun",
    "Live",
    "Malformed",
    "Note",
    "Recipe",
    "Row",
    "RowStatus",
    "RunResult",
    "extremes_in",
    "listed",
    "measures",
    "notes_in",
    "recipe_in",
    "sources_in",
]
