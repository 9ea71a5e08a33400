"""Records are closed, frozen, and published as schemas that fit what is written."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_wf import schemas as published
from pytest_wf.evidence.records import Check, RunStatus, schemas
from pytest_wf.evidence.times import parse_rfc3339, rfc3339
from pytest_wf.wire.rows import RunResult
from tests.support import good_flow as good


def test_published_schemas_are_up_to_date() -> None:
    assert published.names() == sorted(schemas())
    for name, schema in schemas().items():
        assert published.load(name) == schema, "run `python -m pytest_wf.schemas`"


def test_every_schema_is_a_schema() -> None:
    for schema in schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_what_is_written_fits_its_schema() -> None:
    written = {
        "flow.start.schema.json": good.start(),
        "evidence.schema.json": good.evidence("P40"),
        "deterministic.schema.json": good.report("P40"),
        "constitutional.schema.json": good.answer("P40"),
        "flow.summary.schema.json": good.summary(),
        "run.status.schema.json": RunStatus(state="running"),
    }
    for name, record in written.items():
        jsonschema.validate(record.model_dump(mode="json"), published.load(name))
    run = RunResult("a", "success", True, 1, "c-1", "a" * 40, "c.py", 1, "", metrics={"loss": 1})
    jsonschema.validate(run.as_json(), published.load("run.summary.schema.json"))


def test_a_field_that_nobody_declared_is_refused() -> None:
    with pytest.raises(ValidationError):
        good.summary(praise="well done")


def test_the_pods_records_may_carry_more() -> None:
    read = RunStatus.model_validate({"state": "failed", "gpu": "H100"})
    assert read.model_extra == {"gpu": "H100"}


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError):
        good.report("P40").passed = False


@pytest.mark.parametrize(
    "changes",
    [
        {"phase_id": "P4"},
        {"phase_id": "p40"},
        {"started_at": "2026-01-02 03:04:05"},
        {"started_at": "2026-01-02T03:04:05+01:00"},
        {"active_config_sha256": "C" * 64},
        {"active_config_sha256": "c" * 64 + "\n"},
        {"phase_status": "passed"},
        {"failure_code": "301"},
        {"schema_version": 2},
    ],
)
def test_evidence_of_the_wrong_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        good.evidence("P40", **changes)


def test_truth_is_a_boolean_and_nothing_like_one() -> None:
    for value in (1, "true", "yes", None):
        with pytest.raises(ValidationError):
            Check(name="x", ok=value)  # type: ignore[arg-type]


def test_times_are_utc_with_milliseconds() -> None:
    cet = timezone(timedelta(hours=1))
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 678999, cet)) == "2026-01-02T02:04:05.678Z"


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        rfc3339(datetime(2026, 1, 2))  # noqa: DTZ001


@pytest.mark.parametrize("text", ["", "now", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an RFC|does not match"):
        parse_rfc3339(text)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2999, 1, 1)))  # noqa: DTZ001
def test_a_time_survives_writing_and_reading(moment: datetime) -> None:
    moment = moment.replace(tzinfo=timezone.utc)
    assert abs(parse_rfc3339(rfc3339(moment)) - moment) < timedelta(milliseconds=1)


def test_a_time_without_fraction_is_read() -> None:
    assert parse_rfc3339("2026-01-02T03:04:05Z").second == 5
