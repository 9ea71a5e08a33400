"""What programs know a flow by: its ids, file names and contract lines.

A change of what is expected of them is a change of what users and CI depend on.
"""

from __future__ import annotations

import json
import re
from typing import Any

import junitparser

_LINES = re.compile(r"(WF_[A-Z_]+|[a-z_]+)=|PHASE=|rows: |evidence: |chain head: |summary digest: ")


def seen(flown: Any) -> dict[str, Any]:
    """What programs know a flow by, without what differs between two flows."""
    folder, reports = flown.folder, flown.root / "reports"
    suite = next(iter(junitparser.JUnitXml.fromfile(str(reports / "junit.xml"))))
    results = [
        json.loads(p.read_text()) for p in (reports / "allure-results").glob("*-result.json")
    ]
    return {
        "evidence": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
        "junit": [f"{case.classname} {case.name}" for case in suite],
        "junit_facts": sorted({p.name for p in suite.properties()}),
        "allure": sorted(
            [r["fullName"], r["name"], r["historyId"], r["testCaseId"]] for r in results
        ),
        "lines": [_masked(line, flown) for line in flown.output.splitlines() if _LINES.match(line)],
        "checklist": [
            line
            for line in (reports / "checklist.md.last").read_text().splitlines()
            if line.startswith("- [")
        ],
    }


def _masked(line: str, flown: Any) -> str:
    line = line.replace(str(flown.root), "ROOT").replace(flown.folder.name, "FLOW")
    return re.sub(r"\b[0-9a-f]{64}\b", "SHA256", line)
