"""Every fault of the table has a test, and the page about them is up to date."""

from __future__ import annotations

from tests.support import ROOT
from tests.support.faults import FAULTS, SUBJECTS, WITHOUT_TEST, marked_tests, page


def test_every_fault_has_a_test_but_those_that_are_listed() -> None:
    ids = {fault.id for fault in FAULTS}
    assert ids - set(marked_tests()) == WITHOUT_TEST, "see WITHOUT_TEST in tests/support/faults.py"


def test_every_mark_names_a_fault_of_the_table() -> None:
    assert set(marked_tests()) <= {fault.id for fault in FAULTS}


def test_every_id_is_used_once_and_has_a_subject() -> None:
    ids = [fault.id for fault in FAULTS]
    assert len(ids) == len(set(ids)) == 77
    assert {id[0] for id in ids} == set(SUBJECTS)


def test_the_page_about_faults_is_up_to_date() -> None:
    found = (ROOT / "docs" / "faults.md").read_text()
    assert found == page(), "run: python -m tests.support.faults > docs/faults.md"
