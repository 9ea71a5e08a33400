"""What the documentation tells plugin authors, run from its pages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support import ROOT

PAGES = (
    "how-to/expectations",
    "extending/phase",
    "extending/provider",
    "extending/auditor-and-sink",
)
BLOCKS = {
    block.splitlines()[0]: block
    for page in PAGES
    for block in re.findall(
        r"```python\n(# .*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL
    )
}
PHASE = BLOCKS["# flows/test_cache.py"]
QUALITY = BLOCKS["# flows/test_quality.py"]
PROVIDER = BLOCKS["# conftest.py: a provider"]
AUDITOR = BLOCKS["# conftest.py: an auditor"]
SINK = BLOCKS["# conftest.py: an evidence sink"]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
def test_an_extension_takes_fewer_than_twenty_lines(block: str) -> None:
    assert len([line for line in block.splitlines() if line.strip()]) < 20


def test_a_phase_a_provider_an_auditor_and_a_sink_take_part_in_a_flow(project: Any) -> None:
    (project.root / "flows" / "test_cache.py").write_text(PHASE)
    (project.root / "flows" / "test_quality.py").write_text(QUALITY)
    (project.root / "conftest.py").write_text(f"{PROVIDER}\n{AUDITOR}\n{SINK}")
    project.configure(
        OPS_DEFAULT_HOST="office",
        OPS_REMOTE_REPO=f"{project.root}/.wf/pod/repo",
        OPS_REMOTE_OUTPUTS_DIR=f"{project.root}/.wf/pod/outputs",
        REMOTE_ENV_PATH=f"{project.root}/.wf/pod/project.env",
    )
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 0, flown.output
    assert "test_row_learns[one]" in (project.root / "reports" / "junit.xml").read_text()
    assert "PHASE=P55 COURT=pass DET=pass CONST=pass" in flown.output
    assert flown.record("phase.P55.evidence")["commands"] == ["warm-cache"]
    assert flown.record("phase.P20.evidence")["resolved_target"] == "office:office"
    verdicts = (project.root / "verdicts.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase_id"] for line in verdicts][5:7] == ["P50", "P55"]
    last = (project.root / "reports" / "checklist.md.last").read_text()
    assert "- [x] P55 " in last


def test_an_outside_auditor_can_say_no(project: Any) -> None:
    (project.root / "conftest.py").write_text(AUDITOR)
    flown = project.flow("--wf-wait=true", "--wf-fetch=all", "--wf-teardown=delete")
    assert flown.code == 1
    verdict = flown.record("phase.P90.verdict")
    assert (verdict["constitutional"], verdict["violated_laws"]) == ("fail", [7])


def test_a_sink_that_breaks_loses_nothing(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "def pytest_wf_record(kind, record, path):\n    raise OSError('the sink is full')\n"
    )
    flown = project.flow("--wf-wait=true")
    assert flown.code == 0, flown.output
    assert "the sink is full" in flown.output


def test_a_check_that_fails_or_breaks_halts(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "from pytest_wf.evidence.records import Check\n\n\n"
        "def pytest_wf_check(evidence, contract):\n"
        "    if contract.code == 'P40':\n"
        "        return [Check(name='enough-disk', ok=False, expected='much', actual='little')]\n"
        "    return []\n"
    )
    flown = project.flow("--wf-wait=true")
    assert flown.record("flow.summary")["failed_phase"] == "P40"
    assert "enough-disk" in flown.output
