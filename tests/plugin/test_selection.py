"""Selections choose rows; a flow always has all of its phases."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_wf.court.phases import CONTRACTS
from pytest_wf.flow.extensions import installed
from pytest_wf.project.load import load_project
from pytest_wf.project.project import Options

LIFECYCLE = "flows/test_lifecycle.py"
ROW = f"{LIFECYCLE}::test_row_trains_to_its_end"
ROWS = ("one", "two", "three.x_1", "one-b")


@pytest.fixture
def project(project: Path) -> Path:
    """A project of four rows."""
    lines = [f"{run_id},default.py,{number},," for number, run_id in enumerate(ROWS)]
    header = "run_id,config,seed,overrides,notes"
    (project / "flows" / "sweep.csv").write_text("\n".join([header, *lines, ""]))
    return project


def plan(pytester: pytest.Pytester, *words: str) -> list[str]:
    """The rows of the plan, in their order; no phase may be missing."""
    result = pytester.runpytest_inprocess("--wf-flow", "--collect-only", "-q", *words)
    assert result.ret == 0, result.stderr.str()
    items = [line for line in result.outlines if "::" in line]
    assert len([line for line in items if "[" not in line]) == len(CONTRACTS)
    return [line.partition("[")[2].rstrip("]") for line in items if "[" in line]


def refused(pytester: pytest.Pytester, *words: str) -> str:
    """What is said of a usage error."""
    result = pytester.runpytest_inprocess("--wf-flow", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.stdout.str()
    assert not Path("reports").exists()
    return result.stderr.str()


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["-k", "two"], ["two"]),
        (["-k", "not two"], ["one", "three.x_1", "one-b"]),
        (["-k", "two or three.x_1"], ["two", "three.x_1"]),
        (["-k", "one"], ["one", "one-b"]),
        (["-k", "not test_fetch"], list(ROWS)),
        (["--deselect", f"{ROW}[two]"], ["one", "three.x_1", "one-b"]),
        (["--lf"], list(ROWS)),
        (["--ff"], list(ROWS)),
        (["-m", "phase"], list(ROWS)),
    ],
)
def test_options_select_rows_and_keep_all_phases(
    pytester: pytest.Pytester, project: Path, words: list[str], rows: list[str]
) -> None:
    assert plan(pytester, "flows", *words) == rows


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([f"{ROW}[two]"], ["two"]),
        ([f"{ROW}[one]"], ["one"]),
        ([f"{ROW}[three.x_1]", f"{ROW}[one-b]"], ["three.x_1", "one-b"]),
        ([ROW], list(ROWS)),
        (["flows", f"{ROW}[two]"], ["two"]),
        ([LIFECYCLE], list(ROWS)),
        ([f"./flows/../{ROW}[two]"], ["two"]),
        (["--pyargs", "flows.test_lifecycle::test_row_trains_to_its_end[two]"], ["two"]),
        ([f"{ROW}[two]", "-k", "one or two"], ["two"]),
    ],
)
def test_node_ids_select_rows_and_keep_all_phases(
    pytester: pytest.Pytester, project: Path, words: list[str], rows: list[str]
) -> None:
    pytester.syspathinsert()
    assert plan(pytester, *words) == rows


def test_node_ids_work_as_editors_give_them(pytester: pytest.Pytester, project: Path) -> None:
    junit = ("--override-ini", "junit_family=xunit1", f"--junit-xml={project}/out.xml")
    assert plan(pytester, f"--rootdir={project}", *junit, f"{project}/{ROW}[two]") == ["two"]
    os.chdir(pytester.mkdir("elsewhere"))
    assert plan(pytester, f"../{ROW}[two]") == ["two"]


def test_a_node_id_keeps_phases_of_other_files(pytester: pytest.Pytester, project: Path) -> None:
    (project / "flows" / "test_mine.py").write_text(
        "import pytest\n\n@pytest.mark.phase('P75', command='look', rows=True)\n"
        "def test_look(wf_run):\n    'Mine.'\n"
    )
    assert plan(pytester, f"{ROW}[two]") == ["two", "two"]
    assert plan(pytester, "flows/test_mine.py::test_look[two]") == ["two", "two"]
    assert plan(pytester, "flows", "--deselect", f"{ROW}[two]").count("two") == 0


def test_a_node_id_in_a_folder_with_other_letters(pytester: pytest.Pytester, project: Path) -> None:
    moved = project.parent / "schön und gut"
    project.rename(moved)
    os.chdir(moved)
    assert plan(pytester, f"{moved}/{ROW}[two]") == ["two"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["flows", "-k", "no_such"],
            "The rows are one, two, three.x_1, one-b.",
        ),
        (["flows", "-k", "test_teardown"], "leaves no sweep row. The rows are one, two"),
        ([f"{ROW}[four]"], f"{ROW}[four]: there is no such test. The rows are one, two"),
        ([f"{LIFECYCLE}::test_teardown"], "::test_teardown: it is a phase, and a flow runs all"),
        ([f"{LIFECYCLE}::test_no"], "::test_no: there is no such test. The rows are one, two"),
        (["flows", "--deselect", f"{LIFECYCLE}::test_fetch"], "::test_fetch: it is a phase"),
        (["flows", "--deselect", ROW], "leaves no sweep row. The rows are one, two"),
        (["flows", "-m", "not phase"], "-m 'not phase' leaves out flows/test_lifecycle.py::test_"),
        (["flows", "-m", "slow"], "-m 'slow' leaves out flows/test_lifecycle.py::test_"),
        (["flows", "--lf", "--lfnf=none"], "leaves no sweep row. The rows are one, two"),
        (["flows", "--sw"], "--stepwise leaves out rows by itself; use --lf"),
    ],
)
def test_what_selects_no_row_or_names_a_phase_is_a_usage_error(
    pytester: pytest.Pytester, project: Path, words: list[str], said: str
) -> None:
    assert said in refused(pytester, *words)


def test_the_words_of_a_selection_select_exactly_its_rows(
    pytester: pytest.Pytester, project: Path
) -> None:
    loaded = load_project(project, Options(), {}, installed().providers())
    for run_ids in (["one"], ["two", "one-b"], ["two", "three.x_1", "one-b"]):
        rows = tuple(row for row in loaded.rows if row.run_id in run_ids)
        words = replace(loaded, rows=rows).selection_words
        assert plan(pytester, "flows", *shlex.split(words)) == run_ids
    assert loaded.selection_words == ""


def test_failed_rows_are_selected_by_lf_and_come_first_with_ff(
    pytester: pytest.Pytester, project: Path
) -> None:
    cache = project / ".pytest_cache" / "v" / "cache" / "lastfailed"
    cache.parent.mkdir(parents=True)
    failed = {f"{ROW}[three.x_1]": True, f"{LIFECYCLE}::test_monitor": True}
    cache.write_text(json.dumps(failed))
    assert plan(pytester, "flows", "--lf") == ["three.x_1"]
    assert plan(pytester, "flows", "--ff") == ["three.x_1", "one", "two", "one-b"]
    assert plan(pytester, "flows", "--lf", "-k", "one") == ["one", "one-b"]
    cache.write_text(json.dumps({f"{LIFECYCLE}::test_monitor": True}))
    assert plan(pytester, "flows", "--lf") == list(ROWS)


@pytest.mark.parametrize("where", ["ini", "environment"])
def test_options_of_addopts_select_nothing_and_one_line_says_so(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    words = "-n 4 -x -k two --lf -m slow --sw --dist loadfile"
    if where == "ini":
        (project / "pytest.ini").write_text(f"[pytest]\naddopts = {words}\n")
    else:
        monkeypatch.setenv("PYTEST_ADDOPTS", words)
    assert plan(pytester, "flows") == list(ROWS)
    result = pytester.runpytest_inprocess("flows", "--wf-flow", "--collect-only", "-k", "one-b")
    [line] = [line for line in result.outlines if line.startswith("wf: ignored in addopts")]
    assert {"-m", "--lf", "--sw", "-x/--maxfail", "-n"} <= set(re.split(r"[,;] |: ", line))


def test_a_selection_by_keys_and_one_on_the_command_line_both_count(
    pytester: pytest.Pytester, project: Path
) -> None:
    config = project / "flows" / "workflow.env"
    config.write_text(config.read_text() + "SWEEP_MATCH=one*\n")
    assert plan(pytester, "flows", "-k", "b") == ["one-b"]
    result = pytester.runpytest_inprocess("flows", "--wf-flow", "--collect-only")
    result.stdout.fnmatch_lines(["plan: 11 phases, 2 of 4 sweep rows"])


def test_without_the_option_the_node_id_of_a_row_is_not_found_and_one_line_says_why(
    pytester: pytest.Pytester, project: Path
) -> None:
    result = pytester.runpytest_inprocess(f"{ROW}[two]")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: not found: *", "ERROR: wf: flows/ left out: *--wf-flow"])


@pytest.mark.parametrize("argument", ["flows/", "."])
def test_without_the_option_a_flow_stays_empty_and_one_line_says_why(
    pytester: pytest.Pytester, project: Path, argument: str
) -> None:
    evidence = project / "reports" / "flows" / "f-1"
    evidence.mkdir(parents=True)
    (evidence / "workflow.env").write_text("# the copy of a flow's config\n")
    result = pytester.runpytest_inprocess("--collect-only", argument)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["wf: flows/ left out: *--wf-flow"])
