"""Each halt by a phase's body, its court or the flow's rules: what the verdict names leads on."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hints import halt, halted
from tests.support.waiting import until

ALL = ("--wf-wait=true", "--wf-fetch=all")

pytestmark = pytest.mark.long

_VERDICT = {
    "verdict": "fail",
    "violated_laws": [4],
    "evidence_refs": ["phase.P00.evidence.json"],
    "remediation": "Keep to the law.",
}
_CHANGE_CONFIG = (
    "path = wf_flow.state.project.config_path\npath.write_text(path.read_text() + '# changed\\n')"
)


@pytest.mark.failure(
    "assertion", "error", "skipped-itself", "not-in-contract", "timeout", "target-changed"
)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("assertion", "assert 1 + 1 == 3"),
        ("error", "raise RuntimeError('a bug')"),
        ("skipped-itself", "pytest.skip('not today')"),
        ("not-in-contract", "wf_flow.bootstrap()"),
        ("timeout", "import time\ntime.sleep(60)"),
        ("target-changed", "wf_flow.state.binding.locked = 'ssh:another'"),
    ],
)
def test_a_phase_that_is_corrected(project: Any, kind: str, body: str) -> None:
    project.phase("P45", body)
    phase = project.root / "flows" / "test_mine.py"
    limited = phase.read_text().replace("command='mine'", "command='mine', timeout_s=2")
    phase.write_text(limited if kind == "timeout" else phase.read_text())
    hint = halt(project, kind, *ALL)
    project.phase("P45", "pass")
    hint.leads_on()


@pytest.mark.failure("config-changed")
def test_a_config_that_is_restored(project: Any) -> None:
    config = project.root / "flows" / "workflow.env"
    before = config.read_text()
    project.phase("P45", _CHANGE_CONFIG)
    hint = halt(project, "config-changed", *ALL)
    config.write_text(before)
    project.phase("P45", "pass")
    hint.leads_on()


@pytest.mark.failure("interrupted")
def test_a_phase_that_was_interrupted(project: Any, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    project.phase("P45", f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(60)")
    run = project.start(*ALL)
    until(begun.exists, "P45 runs")
    run.process.send_signal(signal.SIGINT)
    hint = halted(project, "interrupted", run.wait())
    project.phase("P45", "pass")
    hint.leads_on()


@pytest.mark.failure("court-constitutional", "court-unverified")
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("court-constitutional", f"print({json.dumps(_VERDICT)!r})"),
        ("court-unverified", "raise SystemExit(3)"),
    ],
)
def test_an_auditor_that_is_corrected(project: Any, kind: str, says: str) -> None:
    script = project.root / "flows" / "auditor.py"
    script.write_text(says + "\n")
    project.configure(WF_SUBAGENT_VALIDATOR_CMD=f'"{sys.executable} {script}"')
    hint = halt(project, kind, *ALL)
    project.configure(WF_SUBAGENT_VALIDATOR_CMD="")
    assert hint.command.startswith("wf doctor")
    hint.leads_on()
    assert project.flow(*ALL).code == 0


_CHECK = """\
from pytest_wf.evidence.records import Check


def pytest_wf_check(evidence, contract):
    ok = contract.code != "P40"
    return [Check(name="enough disk", ok=ok, law=9, remedy="Make room.")]
"""


@pytest.mark.failure("court-deterministic")
def test_a_check_of_the_project_that_failed(project: Any) -> None:
    conftest = project.root / "conftest.py"
    conftest.write_text(_CHECK)
    hint = halt(project, "court-deterministic", *ALL)
    conftest.write_text("")
    hint.leads_on()
