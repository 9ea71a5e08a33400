"""Without --wf-flow nothing in flows/ runs; with it, only a whole flow does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

GUARD = """
import sys

def _refuse(event, args):
    if event == "socket.connect":
        raise SystemExit("a socket was opened")

sys.addaudithook(_refuse)
"""


@pytest.mark.parametrize(
    "argument", ["flows/", "flows/test_lifecycle.py", "flows/test_lifecycle.py::test_bootstrap"]
)
def test_naming_a_flow_without_the_option_runs_nothing(
    pytester: pytest.Pytester, project: Path, argument: str
) -> None:
    (project / "conftest.py").write_text(GUARD)
    result = pytester.runpytest_subprocess(argument)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not (project / "reports").exists()


def test_a_plain_pytest_runs_the_projects_own_tests_alone(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_own.py").write_text("def test_own(): pass\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_folder_called_flows_of_another_kind_is_left_alone(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("flows")
    (folder / "test_water.py").write_text("def test_it_flows(): pass\n")
    pytester.runpytest_inprocess("flows/").assert_outcomes(passed=1)


def test_the_plan_lists_phases_with_contracts_and_every_row(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "conftest.py").write_text(GUARD)
    result = pytester.runpytest_subprocess("flows/", "--wf-flow", "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "plan: 11 phases, 2 sweep rows",
            "P00 PRECHECK: *commands: precheck*failures: 1xx*",
            "P40 BOOTSTRAP: *commands: bootstrap*failures: 3xx*",
            "flows/test_lifecycle.py::test_precheck",
            "flows/test_lifecycle.py::test_sweep_is_under_way",
            "flows/test_lifecycle.py::test_row_trains_to_its_end[[]one]",
            "flows/test_lifecycle.py::test_row_trains_to_its_end[[]two]",
            "flows/test_lifecycle.py::test_monitor",
            "flows/test_lifecycle.py::test_summary",
        ]
    )
    assert not (project / "reports").exists()
    assert not (project / ".wf").exists()


def test_a_module_that_contacts_something_while_it_is_collected_is_an_error(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "flows" / "test_eager.py").write_text(
        "import subprocess\nsubprocess.run(['true'])\n"
    )
    result = pytester.runpytest_subprocess("flows/", "--wf-flow", "--collect-only")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*during collection*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wf-sweep=begin"], "*invalid choice: 'begin'*start*resume*skip*"),
        (["--wf-wait=maybe"], "*invalid choice: 'maybe'*true*false*"),
        (["--wf-fetch=some"], "*'some' is not one of: none, all, run:<run_id>*"),
        (["--wf-teardown=destroy"], "*invalid choice: 'destroy'*keep*delete*"),
        (["-n", "auto"], "*-n takes a number of pods here, not auto or logical*"),
        (["--setup-only"], "*not with --wf-flow: --setup-only*"),
        (["--timeout-method=thread"], "*not with --wf-flow: --timeout-method=thread*"),
        (["--wf-teardown=delete"], "*WF_DELETE_UNFETCHED*"),
    ],
)
def test_options_that_cannot_work_are_usage_errors_that_name_what_is_legal(
    pytester: pytest.Pytester, project: Path, arguments: list[str], said: str
) -> None:
    result = pytester.runpytest_subprocess("flows/", "--wf-flow", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert "--tx" not in result.stderr.str()  # what pytest-xdist makes of -n
    assert "Traceback" not in result.stderr.str()
    assert not (project / "reports").exists()


def test_options_take_their_value_as_a_word_of_its_own_too(
    pytester: pytest.Pytester, project: Path
) -> None:
    arguments = ("--wf-sweep", "skip", "--wf-fetch", "run:one", "--wf-wait", "true")
    result = pytester.runpytest_inprocess("flows/", "--wf-flow", "--collect-only", *arguments)
    assert result.ret == 0


@pytest.mark.parametrize(
    "arguments",
    [["flows/test_lifecycle.py::test_bootstrap"], ["flows/", "--deselect", "flows/"], []],
)
def test_a_selection_that_would_drop_a_phase_is_a_usage_error(
    pytester: pytest.Pytester, project: Path, arguments: list[str]
) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_own.py").write_text("def test_own(): pass\n")
    result = pytester.runpytest_subprocess("--wf-flow", *arguments)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert not (project / "reports").exists()
    assert not (project / ".wf").exists()


def test_k_takes_rows_away_and_no_phase(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest_inprocess(
        "flows/", "--wf-flow", "--collect-only", "-q", "-k", "two"
    )
    result.stdout.fnmatch_lines(["*test_precheck", "*[[]two]", "*test_summary"])
    result.stdout.no_fnmatch_line("*[[]one]")


def test_k_that_leaves_no_row_is_a_usage_error(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest_subprocess("flows/", "--wf-flow", "-k", "three")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*leaves no sweep row*--wf-sweep=skip*"])
    result.stdout.no_fnmatch_line("evidence:*")  # of a flow that there is not


def test_a_phase_that_is_deselected_is_named_and_nothing_runs(
    pytester: pytest.Pytester, project: Path
) -> None:
    words = ["--deselect", "flows/test_lifecycle.py::test_teardown"]
    result = pytester.runpytest_subprocess("flows/", "--wf-flow", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_teardown: it is a phase*"])
    assert not (project / "reports").exists()


def test_help_lists_the_options_in_a_group_of_their_own(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--help")
    result.stdout.fnmatch_lines(["remote experiments (pytest-wf):", "*--wf-flow*"])


HEAVY = {"allure", "cryptography", "jinja2", "paramiko", "pydantic", "rich", "typer"}


def test_a_project_that_does_not_use_it_imports_nothing_heavy_through_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_own(): pass")

    def imported(*words: str) -> set[str]:
        argv = (sys.executable, "-X", "importtime", "-m", "pytest", *words)
        lines = pytester.run(*argv).errlines
        return {line.rpartition("|")[2].strip() for line in lines}

    added = imported() - imported("-p", "no:wf")
    assert not HEAVY & added
    assert {name for name in added if name.startswith("pytest_wf.")} == {
        "pytest_wf.hookspecs",
        "pytest_wf.plugin.inactive",
        "pytest_wf.project",
        "pytest_wf.project.flow_options",
    }


#: Runs pytest and prints how often the config was opened and how often its lines were parsed.
COUNTING = """
import sys
from pytest_wf.config import dotenv
from pytest_wf.project import project

counts = {"opened": 0, "parsed": 0, "hashed": 0}

def on_event(event, args):
    if event == "open" and str(args[0]).endswith("flows/workflow.env"):
        counts["opened"] += 1

def counted(module, name, kind):
    real = getattr(module, name)
    def call(*args, **kwargs):
        counts[kind] += 1
        return real(*args, **kwargs)
    setattr(module, name, call)

counted(dotenv, "read_entries", "parsed")
from pytest_wf.flow import snapshot
counted(snapshot, "config_sha256_now", "hashed")
sys.addaudithook(on_event)
import pytest
pytest.main(sys.argv[1:])
print("config", counts)
"""


@pytest.mark.parametrize("words", [["--collect-only"], []], ids=["plan", "flow"])
def test_the_config_is_parsed_once_and_then_only_hashed_at_each_phase(
    project: Path, pytester: pytest.Pytester, words: list[str]
) -> None:
    config = project / "flows" / "workflow.env"
    text = config.read_text().replace("OPS_DEFAULT_HOST=local", "OPS_DEFAULT_HOST=127.0.0.1:1")
    config.write_text(text)
    run = pytester.run(sys.executable, "-c", COUNTING, "flows", "--wf-flow", *words)
    line = run.outlines[-1]
    assert line.startswith("config "), line
    counts = eval(line.removeprefix("config "))
    assert counts["parsed"] == 1
    assert counts["opened"] - counts["hashed"] == 1
    assert bool(counts["hashed"]) == (not words)
