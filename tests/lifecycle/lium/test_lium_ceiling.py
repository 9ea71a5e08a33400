"""A flow on a rented pod that reaches WF_MAX_USD in mid-sweep."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import junitparser
import pytest

from pytest_wf.loopback import LoopbackLium
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Takes the place of hours: the rest of the money pays for twenty seconds, in
#: which a slow machine, too, begins the first row.
_TWENTY_SECONDS = """
from pytest_wf.flow.money.budget import Budget

Budget.left = lambda self, now=None: 20 / 3600 * self.usd_per_hour
"""


def _is_reached(outputs: Path) -> bool:
    """Whether the moment has come that the pod keeps to."""
    found = list((outputs / "_control").rglob("launches/1.json"))
    ceiling = json.loads(found[0].read_text())["ceiling"] if found else None
    return ceiling is not None and time.clock_gettime(time.CLOCK_BOOTTIME) > ceiling["boot_s"]


def test_rows_at_work_end_none_begins_and_the_pod_is_deleted_with_what_it_cost(
    lium_project: Callable[..., Any], api: LoopbackLium, gate: Path
) -> None:
    project = lium_project(WF_MAX_USD="10")
    with (project.root / "conftest.py").open("a") as conftest:
        conftest.write(_TWENTY_SECONDS)
    (project.root / "flows" / "sweep.csv").write_text(
        "run_id,config,seed,overrides,notes\n"
        f"one,default.py,1,wait_for={gate},\ntwo,default.py,2,,\nthree,default.py,3,,\n"
    )
    run = project.start("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    log = project.outputs / "one" / "stdout.log"
    until(lambda: log.exists() and "training one" in log.read_text(), "row one trains")
    until(lambda: _is_reached(project.outputs), "the ceiling is reached", 120)
    gate.touch()
    run.wait()
    assert run.code == 1, run.output
    summary = run.record("flow.summary")
    assert {row["run_id"]: row["state"] for row in summary["rows"]} == {
        "one": "success",
        "two": "pending",
        "three": "pending",
    }
    (note,) = [note for note in summary["notes"] if note["code"] == "budget"]
    assert note["text"] == "WF_MAX_USD=10 is reached: 2 rows were not begun (two, three)."
    assert summary["cost_usd"] > 0
    assert [phase["status"] for phase in summary["phases"]] == ["ok"] * 11
    assert "row two was not begun: WF_MAX_USD=10 is reached." in run.output
    assert "--wf-sweep=resume" in run.line("next: ")
    assert (project.root / "reports" / "runs" / "one" / "summary.json").is_file()
    assert api.account.billed() == []
    estimates = [
        run.record(f"phase.{code}.evidence")["facts"]["estimate"] for code in ("P60", "P70")
    ]
    assert estimates[0] == {"line": "estimate: when the first row has ended"}
    assert estimates[1]["rows"] == 2 and "by the first row that ended" in run.output
    suite = next(iter(junitparser.JUnitXml.fromfile(str(project.root / "reports" / "junit.xml"))))
    assert (suite.failures, suite.errors, suite.skipped) == (2, 0, 0)
    page = (project.root / "reports" / "report.html").read_text()
    assert "WF_MAX_USD=10 is reached" in page
    costs = json.loads(project.wf("costs", str(run.folder), "--json").stdout)
    assert costs["flows"][0]["rows_left"] == 2
