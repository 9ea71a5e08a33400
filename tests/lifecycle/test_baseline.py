"""What the scripts that this replaces got wrong, each as a flow that gets it right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ALL = ("--wf-wait=true", "--wf-fetch=all")


def _argv(project: Any, run_id: str) -> list[str]:
    line = (project.outputs / run_id / "out" / "argv.json").read_text().splitlines()[0]
    words: list[str] = json.loads(line)
    return words


def test_a_quoted_comma_and_quotes_reach_the_trainer_exactly(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(
        rows=(
            'comma,default.py,1,"a=1,b=2",',
            "spaces,default.py,1,name='hello world' x=1,",
            'quotes,default.py,1,"s=""d q"" y=$(id) z=`id`;w=*",',
        )
    )
    assert project.flow(*ALL).code == 0
    assert "a=1,b=2" in _argv(project, "comma")
    assert {"name=hello world", "x=1"} <= set(_argv(project, "spaces"))
    assert {"s=d q", "y=$(id)", "z=`id`;w=*"} <= set(_argv(project, "quotes"))


@pytest.mark.fault("R3")
def test_crlf_and_a_missing_last_newline_cost_nothing(project: Any) -> None:
    csv = project.root / "flows" / "sweep.csv"
    csv.write_bytes(
        b"run_id,config,seed,overrides,notes\r\none,default.py,1,a=1,x\r\ntwo,default.py,2,a=2,"
    )
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    assert "a=1" in _argv(project, "one")
    assert "a=2" in _argv(project, "two")


@pytest.mark.fault("R6")
def test_a_run_id_that_leaves_the_outputs_is_a_usage_error(project: Any) -> None:
    csv = project.root / "flows" / "sweep.csv"
    csv.write_text("run_id,config,seed,overrides,notes\n../evil,default.py,1,,\n")
    refused = project.flow(*ALL)
    assert refused.code == 4
    assert "flows/sweep.csv:2" in refused.output
    assert "Traceback" not in refused.output
    assert not (project.root / "reports").exists()
    assert not (project.root / ".wf").exists()


def test_fetch_all_fetches_all_of_twenty(new_project: Callable[..., Any]) -> None:
    rows = [f"run{n},default.py,{n},steps=1," for n in range(20)]
    project = new_project(rows=rows)
    assert project.flow(*ALL).code == 0
    assert len(list((project.root / "reports" / "runs").iterdir())) == 20


def test_a_failure_leaves_a_summary(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("bad,default.py,1,exit=1,", "good,default.py,1,,"))
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert flown.record("flow.summary")["counts"]["rows_ok"] == 1
    assert (project.root / "reports" / "checklist.md.last").exists()


@pytest.mark.long
def test_a_trainer_that_reads_stdin_eats_nothing(new_project: Callable[..., Any]) -> None:
    trainer = "import sys\nsys.stdin.read()\nprint('read it all')\n"
    project = new_project(
        rows=("one,default.py,1,,", "two,default.py,1,,", "three,default.py,1,,"), trainer=trainer
    )
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    assert flown.record("flow.summary")["counts"]["rows_ok"] == 3
