"""Every failure has a cause and a way on that a test goes, and the page about them is true."""

from __future__ import annotations

from pytest_wf.court.explanations import FAILURES
from pytest_wf.wire.failures import KINDS
from tests.support import ROOT
from tests.support.failures import page
from tests.support.faults import marked_tests


def test_every_kind_of_failure_has_a_cause_and_a_remedy() -> None:
    assert list(FAILURES) == list(KINDS)


def test_every_way_on_is_gone_by_a_test() -> None:
    assert set(KINDS) <= set(marked_tests("failure"))


def test_every_mark_names_a_kind_of_failure() -> None:
    assert set(marked_tests("failure")) <= set(KINDS)


def test_the_page_about_failures_is_up_to_date() -> None:
    found = (ROOT / "docs" / "failures.md").read_text()
    assert found == page(), "run: python -m tests.support.failures > docs/failures.md"
