"""Which conditions ask for a baseline, and what is said where there is none."""

from __future__ import annotations

from pytest_wf.config import reader
from pytest_wf.config.dotenv import read_entries
from pytest_wf.project import manifest
from pytest_wf.project.expectations import missing_baselines
from tests.support.bad_input import ENV, WIDE


def test_only_a_condition_that_compares_with_the_baseline_asks_for_one() -> None:
    text = ENV + "WF_EXPECT=loss<3; rate>=0.9*baseline\n"
    config = reader.load(read_entries(text.encode(), "w.env"), project_dir="/p")
    rows = manifest.read(f"{WIDE}a,c.py,1,,,,,,acc>0.5; x<baseline\n".encode(), "s.csv").rows
    found = missing_baselines(config, rows, None, config_origin="w.env", csv_origin="s.csv")
    assert [(p.origin, p.line, p.key, p.reason.partition(":")[0]) for p in found] == [
        ("w.env", 6, "WF_EXPECT", "rate>=0.9*baseline"),
        ("s.csv", 2, "expect", "x<baseline"),
    ]
