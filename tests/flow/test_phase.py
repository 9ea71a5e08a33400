"""What an exception in a phase is as a failure of the flow."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.flow.phase import failure_of


def test_an_assertion_without_a_message_is_told_with_its_source_line(tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    helper.write_text("def check(x):\n    assert x > 3\n")
    scope: dict[str, object] = {}
    exec(compile(helper.read_text(), str(helper), "exec"), scope)  # pytest rewrites no helper
    try:
        scope["check"](1)  # type: ignore[operator]
    except AssertionError as e:
        failure = failure_of(e, 3)
    assert failure.text == f"AssertionError at {helper}:2: assert x > 3"
    assert failure.code == 393


def test_an_error_that_was_never_raised_is_told_by_its_type() -> None:
    assert failure_of(AssertionError(), 1).text == "AssertionError"
