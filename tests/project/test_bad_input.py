"""Bad configs and CSVs: each is refused with file, line, key, reason and remedy."""

from __future__ import annotations

import pytest

from pytest_wf.config import reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.extensions import installed
from pytest_wf.project import manifest
from tests.support.bad_input import CONFIGS, SHEETS, Bad


def the_problem(bad: Bad, origin: str) -> Problem:
    def read() -> object:
        if origin == "sweep.csv":
            return manifest.read(bad.raw, origin)
        keys = installed().config_keys()
        reading = read_entries(bad.raw, origin, [key.name for key in keys])
        return reader.load(reading, project_dir="/p", keys=keys)

    with pytest.raises(InputError) as caught:
        read()
    mine = [p for p in caught.value.problems if (p.line, p.key) == (bad.line, bad.key)]
    assert mine, f"told instead: {caught.value}"
    if bad.name not in ("UTF-16", "more than 1 MiB"):
        assert len(caught.value.problems) == 1, str(caught.value)
    return mine[0]


@pytest.mark.parametrize(
    ("bad", "origin"),
    [
        *(pytest.param(bad, "flows/workflow.env", id=f"config-{bad.name}") for bad in CONFIGS),
        *(pytest.param(bad, "sweep.csv", id=f"csv-{bad.name}") for bad in SHEETS),
    ],
)
def test_bad_input_is_refused_with_place_reason_and_remedy(bad: Bad, origin: str) -> None:
    problem = the_problem(bad, origin)
    told = str(problem)
    place = origin if bad.line is None else f"{origin}:{bad.line}"
    assert told.startswith(f"{place}: {bad.key}")
    assert bad.reason in problem.reason
    assert bad.remedy in problem.remedy
    assert problem.reason.endswith(".")
    assert told.isprintable()


def test_the_table_of_bad_input_covers_both_files_widely() -> None:
    assert len(CONFIGS) >= 40
    assert len(SHEETS) >= 40
