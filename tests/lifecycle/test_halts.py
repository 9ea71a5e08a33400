"""What stops a flow: later phases are skipped with the reason, P90 and P99 run, the pod stays."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import until

ALL = ("--wf-wait=true", "--wf-fetch=all")


def _halted(flown: Any, phase: str, code: int) -> None:
    """The flow was halted by `phase`, and ended as a halted flow ends."""
    assert flown.code == 1, flown.output
    summary = flown.record("flow.summary")
    assert summary["ok"] is False
    assert (summary["failed_phase"], summary["failure_code"]) == (phase, code), flown.output
    by_code = {p["code"]: p for p in summary["phases"]}
    for later, record in by_code.items():
        if phase < later < "P90":
            assert record["status"] == "halted", later
    assert f"halted by {phase} (code {code})" in flown.output.replace("\n", " ")
    assert by_code["P90"]["court"] == "pass", flown.output
    assert by_code["P99"]["court"] == "pass", flown.output
    assert flown.record("phase.P90.evidence")["facts"]["deleted"] is False
    skipped = [line for line in flown.output.splitlines() if f"WF-{code}" in line]
    assert skipped


@pytest.mark.fault("F1")
def test_a_config_edited_in_mid_flow_halts(project: Any) -> None:
    project.phase(
        "P45",
        "path = wf_flow.state.project.config_path\n"
        "path.write_text(path.read_text() + '# changed\\n')",
    )
    _halted(project.flow(*ALL), "P45", 106)


@pytest.mark.fault("F2")
@pytest.mark.long
def test_a_target_that_changes_halts(project: Any) -> None:
    project.phase("P45", "wf_flow.state.binding.locked = 'ssh:another'")
    _halted(project.flow(*ALL), "P45", 204)


@pytest.mark.fault("F6")
def test_a_wrong_commit_halts(project: Any) -> None:
    project.configure(REPO_URL=str(project.root), EXPECT_GIT_SHA="0" * 40)
    _halted(project.flow(*ALL), "P50", 312)


def test_a_commit_that_is_not_checked_out_here_halts_before_anything_is_touched(
    project: Any,
) -> None:
    project.configure(EXPECT_GIT_SHA="0" * 40, TRAIN_ENTRYPOINT="gone.py")
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert "halted by P00 (code 108)" in flown.output.replace("\n", " ")
    error = flown.record("phase.P00.evidence")["error"]
    assert "EXPECT_GIT_SHA is 0000" in error
    assert "train/gone.py (TRAIN_ENTRYPOINT) is not in commit" in error
    assert not (project.root / ".wf" / "pod").exists()


def test_a_dirty_checkout_halts_and_the_dirt_stays(project: Any) -> None:
    assert project.flow(*ALL).code == 0
    trainer = project.root / ".wf" / "pod" / "repo" / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# by hand\n")
    project.configure(SWEEP_FORCE="1")
    _halted(project.flow(*ALL), "P50", 313)
    assert trainer.read_text().endswith("# by hand\n")


AUDITORS = {
    "hangs": "import time; time.sleep(600)",
    "crashes": "raise SystemExit(3)",
    "prints prose": "print('All good, verdict: pass')",
    "prints two verdicts": 'a = \'{"verdict":"pass","violated_laws":[],'
    '"evidence_refs":[],"remediation":""}\'; print(a); print(a)',
    "floods its output": "print('x' * 50_000_000)",
    "says nothing": "pass",
}
_SHORT = ("hangs", "prints prose", "floods its output")


@pytest.mark.fault("A1", "A2", "A3", "A4")
@pytest.mark.parametrize(
    "how", [how if how in _SHORT else pytest.param(how, marks=pytest.mark.long) for how in AUDITORS]
)
def test_an_auditor_that_does_not_answer_halts(project: Any, how: str) -> None:
    script = project.root / "flows" / "auditor.py"
    script.write_text(AUDITORS[how] + "\n")
    project.configure(
        WF_SUBAGENT_VALIDATOR_CMD=f"{sys.executable} {script}",
        WF_SUBAGENT_VALIDATOR_TIMEOUT_SECS="2",
    )
    flown = project.flow(*ALL)
    assert flown.code == 1
    verdict = flown.record("phase.P00.verdict")
    assert verdict["constitutional"] == "unverified"
    assert verdict["code"] == 192
    summary = flown.record("flow.summary")
    assert [p["status"] for p in summary["phases"][1:-2]] == ["halted"] * 8
    assert not (project.root / ".wf").exists()


def test_a_court_that_is_not_enforced_is_reported_and_does_not_halt(project: Any) -> None:
    script = project.root / "flows" / "auditor.py"
    script.write_text("pass\n")
    project.configure(
        WF_SUBAGENT_VALIDATOR_CMD=f"{sys.executable} {script}", WF_PHASE_COURT_ENFORCE="0"
    )
    flown = project.flow(*ALL)
    assert flown.code == 0, flown.output
    assert "PHASE=P40 COURT=fail DET=pass CONST=unverified" in flown.output
    assert "the court failed and is not enforced" in flown.output


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("assert 1 + 1 == 3", 393, id="assertion"),
        pytest.param("import pytest; pytest.exit('enough')", 396, id="exit"),
        pytest.param("import os; os.kill(os.getpid(), 14)", 394, id="alarm"),
        pytest.param("raise RuntimeError('a bug')", 394, id="bug", marks=pytest.mark.long),
        pytest.param(
            "import pytest; pytest.skip('not today')", 397, id="skip", marks=pytest.mark.long
        ),
        pytest.param("return False", 394, id="return", marks=pytest.mark.long),
    ],
)
def test_whatever_a_phases_body_does_its_court_sits(project: Any, body: str, code: int) -> None:
    if "kill" in body:
        body = "import time\ntime.sleep(30)"
        code = 395
        project.phase("P45", body)
        path = project.root / "flows" / "test_mine.py"
        path.write_text(path.read_text().replace("command='mine'", "command='mine', timeout_s=1"))
    else:
        project.phase("P45", body)
    flown = project.flow(*ALL)
    assert flown.code in (1, 2), flown.output
    assert flown.record("phase.P45.verdict")["phase_pass"] is False
    assert flown.record("phase.P45.verdict")["code"] == code
    assert flown.record("phase.P99.verdict")["phase_pass"] is True


def test_a_phase_whose_fixture_skips_or_fails_does_not_slip_through(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef moody():\n    pytest.skip('not in the mood')\n"
    )
    project.phase("P45", "pass")
    path = project.root / "flows" / "test_mine.py"
    path.write_text(path.read_text().replace("request):", "request, moody):"))
    flown = project.flow(*ALL)
    assert flown.code == 1
    assert flown.record("phase.P45.verdict")["phase_pass"] is False
    assert "halted by P45" in flown.output


def test_x_does_not_cost_a_flow_its_end(new_project: Callable[..., Any]) -> None:
    project = new_project(rows=("bad,default.py,1,exit=3,", "good,default.py,1,,"))
    flown = project.flow(*ALL, "-x")
    assert flown.code == 1
    assert flown.record("phase.P90.verdict")["phase_pass"] is True
    assert flown.record("flow.summary")["failure_code"] == 421
    assert "SWEEP_FAIL_FAST=1 stops the flow: row bad failed." in flown.output


def test_a_plugin_that_breaks_the_loop_does_not_cost_a_flow_its_end(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "def pytest_runtest_logreport(report):\n"
        "    if 'bootstrap' in report.nodeid and report.when == 'call':\n"
        "        raise ValueError('a plugin of somebody')\n"
    )
    flown = project.flow(*ALL)
    assert flown.code != 0
    assert flown.record("phase.P90.verdict")["phase_pass"] is True
    assert flown.record("flow.summary")["ok"] is False


@pytest.mark.long
def test_an_interruption_while_a_fixture_is_set_up_still_ends_well(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef moody():\n    raise KeyboardInterrupt\n"
    )
    project.phase("P45", "pass")
    path = project.root / "flows" / "test_mine.py"
    path.write_text(path.read_text().replace("request):", "request, moody):"))
    flown = project.flow(*ALL)
    assert flown.code == 2, flown.output
    assert flown.record("phase.P90.verdict")["phase_pass"] is True
    summary = flown.record("flow.summary")
    assert (summary["ok"], summary["exit_code"]) == (False, 2)


@pytest.mark.fault("C2")
def test_a_second_interruption_ends_the_teardown_and_not_the_summary(
    project: Any, tmp_path: Path
) -> None:
    in_phase, in_teardown = tmp_path / "in-phase", tmp_path / "in-teardown"
    project.phase("P45", f"import time\nopen({str(in_phase)!r}, 'w').close()\ntime.sleep(60)")
    lifecycle = project.root / "flows" / "test_lifecycle.py"
    lifecycle.write_text(
        lifecycle.read_text().replace(
            "    result = wf_flow.teardown()\n",
            f"    import time\n    open({str(in_teardown)!r}, 'w').close()\n    time.sleep(60)\n"
            "    result = wf_flow.teardown()\n",
        )
    )
    run = project.start(*ALL)
    until(in_phase.exists, "P45 runs")
    run.process.send_signal(signal.SIGINT)
    until(in_teardown.exists, "P90 runs")
    run.process.send_signal(signal.SIGINT)
    run.wait()
    assert run.code == 2, run.output
    assert run.record("phase.P90.verdict")["phase_pass"] is False
    assert run.record("phase.P99.verdict")["phase_pass"] is True
    assert run.record("flow.summary")["exit_code"] == 2
    assert run.line("WF-").endswith(": interrupted by Ctrl-C")
    checklist = (project.root / "reports" / "checklist.md.last").read_text()
    assert "flow ended: not ok, halted by P45" in checklist


@pytest.mark.fault("P13")
def test_a_session_that_runs_out_of_time_still_ends_well(project: Any) -> None:
    project.phase("P45", "import time\ntime.sleep(2)")
    flown = project.flow(*ALL, "--session-timeout=1")
    assert flown.code == 1, flown.output
    assert flown.record("phase.P90.verdict")["phase_pass"] is True
    assert flown.record("flow.summary")["ok"] is False


def test_a_time_limit_that_strikes_before_a_phases_body_halts_and_keeps_the_pod(
    project: Any,
) -> None:
    (project.root / "conftest.py").write_text(
        "import time\nfrom pytest_wf.flow.flow import Flow\n\nobserve = Flow.observe_pod\n\n\n"
        "def slow(self):\n    if self.current.contract.code == 'P45':\n        time.sleep(30)\n"
        "    observe(self)\n\n\nFlow.observe_pod = slow\n"
    )
    project.phase("P45", "pass")
    path = project.root / "flows" / "test_mine.py"
    path.write_text(path.read_text().replace("command='mine'", "command='mine', timeout_s=1"))
    flown = project.flow(*ALL, "--wf-teardown=delete")
    _halted(flown, "P45", 395)


def test_no_mark_of_an_author_turns_a_failed_court_green(project: Any) -> None:
    project.phase("P45", "request.node.add_marker(pytest.mark.xfail)\nassert False")
    flown = project.flow(*ALL)
    _halted(flown, "P45", 393)
    assert "1 failed" in flown.output


@pytest.mark.fault("C8")
def test_a_summary_that_cannot_be_written_is_a_failed_flow(project: Any) -> None:
    (project.root / "conftest.py").write_text(
        "from pytest_wf.evidence.store import EvidenceStore\n\n\n"
        "def refuse(self, summary):\n    raise OSError('no space left')\n\n\n"
        "EvidenceStore.write_summary = refuse\n"
    )
    flown = project.flow(*ALL)
    assert flown.code == 1, flown.output
    assert "the summary could not be written" in flown.output


def test_half_a_flow_does_not_run(project: Any) -> None:
    (project.root / "flows" / "test_broken.py").write_text("import nothing_of_this_name\n")
    refused = project.flow(*ALL, "--continue-on-collection-errors")
    assert refused.code == 4
    assert not (project.root / ".wf").exists()


def test_a_change_that_is_not_committed_is_told_once(project: Any) -> None:
    trainer = project.root / "train" / "train.py"
    trainer.write_text(trainer.read_text() + "# better\n")
    flown = project.flow("--wf-wait=true")
    assert flown.code == 0, flown.output
    assert flown.output.count("changed here and not committed: train/train.py.") == 1
    assert "P00 warning: changed here" in flown.output
