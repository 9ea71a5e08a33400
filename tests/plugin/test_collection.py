"""Phases run in the order of their codes, and one that cannot be is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

PHASE = '''
import pytest

@pytest.mark.phase("{code}"{more})
def test_mine(wf_flow):
    """{doc}"""
'''


def _write(project: Path, name: str, code: str, more: str = "", doc: str = "Mine.") -> None:
    (project / "flows" / name).write_text(PHASE.format(code=code, more=more, doc=doc))


def test_a_users_phase_takes_its_place_whatever_file_it_stands_in(
    pytester: pytest.Pytester, project: Path
) -> None:
    _write(project, "test_a_first_file.py", "P55", ', command="warm-cache"')
    result = pytester.runpytest_inprocess("flows/", "--wf-flow", "--collect-only", "-q")
    names = [line for line in result.outlines if "::" in line]
    place = names.index("flows/test_a_first_file.py::test_mine")
    assert names[place - 1].endswith("::test_checkout")
    assert names[place + 1].endswith("::test_sweep_is_under_way")


@pytest.mark.parametrize(
    ("code", "more", "doc", "said"),
    [
        ("P40", ', command="x"', "Mine.", "*P40 is the code of two phases*"),
        ("P4", ', command="x"', "Mine.", "*test_mine.py:4: *not a phase code*"),
        ("P55", "", "Mine.", "*test_mine.py:4: P55 has no contract: set command=*"),
        ("P55", ', command="x"', "", "*test_mine.py:4: P55 has no contract: its docstring*"),
        ("P55", ', command="x", needs="DONE"', "Mine.", "*'DONE' is not a state*"),
        ("P55", ', command="x", speed=3', "Mine.", "*has no speed*"),
        ("P55", ', command="x", rows=True', "Mine.", "*takes the fixture wf_run*"),
    ],
)
def test_a_phase_that_cannot_be_is_refused_with_file_and_line(
    pytester: pytest.Pytester, project: Path, code: str, more: str, doc: str, said: str
) -> None:
    _write(project, "test_mine.py", code, more, doc)
    result = pytester.runpytest_inprocess("flows/", "--wf-flow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert not (project / "reports").exists()


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='x')", "xfail"])
def test_a_phase_cannot_be_marked_away(pytester: pytest.Pytester, project: Path, mark: str) -> None:
    (project / "flows" / "test_mine.py").write_text(
        f"import pytest\n\n@pytest.mark.{mark}\n@pytest.mark.phase('P55', command='x')\n"
        "def test_mine(wf_flow):\n    'Mine.'\n"
    )
    result = pytester.runpytest_inprocess("flows/", "--wf-flow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*cannot be marked*"])


def test_an_unmarked_test_in_a_flow_is_refused(pytester: pytest.Pytester, project: Path) -> None:
    (project / "flows" / "test_stray.py").write_text("def test_stray(): pass\n")
    result = pytester.runpytest_inprocess("flows/", "--wf-flow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_stray.py:1: a test in a flow is a phase*"])


def test_all_that_is_wrong_is_said_at_once(pytester: pytest.Pytester, project: Path) -> None:
    _write(project, "test_one.py", "P55")
    _write(project, "test_two.py", "P5")
    result = pytester.runpytest_inprocess("flows/", "--wf-flow")
    result.stderr.fnmatch_lines(["*test_one.py:4:*", "*test_two.py:4:*"])
