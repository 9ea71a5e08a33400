"""Plugins that run items again, elsewhere or in another order are refused by the option's name."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Options as pytest-rerunfailures, pytest-retry, pytest-repeat, pytest-forked, pytest-flakefinder,
#: pytest-random-order and flaky declare them.
OPTIONS = """
def pytest_addoption(parser):
    add = parser.addoption
    add("--reruns", type=int, dest="reruns")
    add("--force-reruns", type=int, dest="force_reruns")
    add("--retries", type=int, dest="retries")
    add("--count", type=int, default=1)
    add("--forked", action="store_true", dest="forked")
    add("--flake-finder", action="store_true", dest="flake_finder_enable")
    add("--random-order", action="store_true", dest="random_order_enabled")
    add("--random-order-bucket", dest="random_order_bucket", default="module")
    add("--force-flaky", action="store_true", dest="force_flaky")
    parser.addini("reruns", "")
    parser.addini("retries", "", default="0")
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--reruns=2"],
        ["--force-reruns=2"],
        ["--retries=1"],
        ["--count=3"],
        ["--forked"],
        ["--flake-finder"],
        ["--random-order"],
        ["--random-order-bucket=global"],
        ["--force-flaky"],
        ["--dist=load"],
        ["--tx=popen"],
        ["--looponfail"],
        ["--trace"],
        ["-o", "reruns=2"],
        ["-o", "retries=2"],
        ["-o", "timeout_method=thread"],
    ],
)
def test_an_option_is_refused_by_its_name(
    pytester: pytest.Pytester, project: Path, words: list[str]
) -> None:
    (project / "conftest.py").write_text(OPTIONS)
    result = pytester.runpytest_inprocess("flows", "--wf-flow", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = words[-1].partition("=")[0].replace("timeout_method", "--timeout-method")
    result.stderr.fnmatch_lines([f"*not with --wf-flow: {name}*"])
    assert not (project / "reports").exists()


def test_plugins_that_are_only_installed_are_no_reason_to_refuse(
    pytester: pytest.Pytester, project: Path
) -> None:
    shuffle = (
        "import pytest\n\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items):\n    items.reverse()\n"
    )
    (project / "conftest.py").write_text(OPTIONS + shuffle)
    result = pytester.runpytest_inprocess("flows", "--wf-flow", "--collect-only", "-q")
    assert result.ret == 0
    names = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert names[0] == "test_precheck" and names[-1] == "test_summary"
    rows = [name for name in names if "[" in name]
    assert [name.partition("[")[2] for name in rows] == ["one]", "two]"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-n", "auto"], "-n takes a number of pods here, not auto or logical"),
        (["-nlogical"], "-n takes a number of pods here, not auto or logical"),
        (["-n", "0"], "-n 0 is not a number of pods"),
        (["-n", "2", "--wf-pods=3"], "-n 2 and --wf-pods=3 are two numbers of pods"),
        (["-n", "2", "--dist=load"], "--dist runs tests in other processes"),
    ],
)
def test_n_is_the_number_of_pods_and_nothing_else(
    pytester: pytest.Pytester, project: Path, words: list[str], why: str
) -> None:
    result = pytester.runpytest_inprocess("flows", "--wf-flow", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*not with --wf-flow: {why}*"])


def test_a_plan_for_several_pods_has_a_case_for_each_and_one_for_what_happens_once(
    pytester: pytest.Pytester, project: Path
) -> None:
    (project / "flows" / "test_mine.py").write_text(
        "import pytest\n\n"
        '@pytest.mark.phase("P45", command="each")\ndef test_each(wf_config):\n    "Each."\n\n'
        '@pytest.mark.phase("P46", command="one", once=True)\ndef test_one():\n    "One."\n'
    )
    result = pytester.runpytest_inprocess("flows", "--wf-flow", "--collect-only", "-q", "-n", "2")
    assert result.ret == 0
    names = [line.partition("::test_")[2] for line in result.outlines if "::" in line]
    once = ["precheck", "provision", "target_bind", "one", "monitor", "summary"]
    each = ["pod_ready", "bootstrap", "each", "checkout", "sweep_is_under_way", "fetch", "teardown"]
    assert [name for name in names if "[" not in name] == once
    per_pod = [name for name in names if "[pod" in name]
    assert per_pod == [f"{name}[pod{k}]" for name in each for k in (1, 2)]


@pytest.mark.parametrize("mark", ["flaky(reruns=2)", "repeat(3)", "forked"])
def test_a_mark_that_asks_for_it_is_refused(
    pytester: pytest.Pytester, project: Path, mark: str
) -> None:
    (project / "flows" / "test_mine.py").write_text(
        f"import pytest\n\n@pytest.mark.{mark}\n@pytest.mark.phase('P55', command='x')\n"
        "def test_mine(wf_flow):\n    'Mine.'\n"
    )
    known = ("-o", "markers=flaky\nrepeat\nforked")
    result = pytester.runpytest_inprocess("flows/", "--wf-flow", *known)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*a phase cannot be marked {mark.partition('(')[0]}:*"])
