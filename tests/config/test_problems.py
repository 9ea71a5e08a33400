"""The mistakes of one file, collected and told in order."""

from __future__ import annotations

from pytest_wf.config.problems import MAX_PROBLEMS, Problems, nearest


def test_all_mistakes_count_and_only_the_first_are_kept() -> None:
    problems = Problems("file")
    for number in range(MAX_PROBLEMS + 50):
        problems.add(number, "", None, "wrong.", "Mend it.")
    assert len(problems) == MAX_PROBLEMS + 50
    assert problems.sorted()[-1].reason == "50 more problems are not shown."


def test_mistakes_are_in_the_order_of_their_lines_and_those_of_the_whole_file_last() -> None:
    problems = Problems("file")
    for line in (3, None, 1, 2):
        problems.add(line, "", None, "wrong.", "Mend it.")
    assert [p.line for p in problems.sorted()] == [1, 2, 3, None]


def test_the_nearest_of_several_names_is_suggested() -> None:
    names = ["RUN_RETRY_ON", "RUN_RETRIES", "RUN_ROOT"]
    assert nearest("RUN_RETRIE", names) == "Did you mean RUN_RETRIES? "
    assert nearest("QX", names) == ""
