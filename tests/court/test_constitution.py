"""The laws."""

from __future__ import annotations

from pytest_wf.court.constitution import LAWS


def test_there_are_nine_laws_with_a_text_each() -> None:
    assert list(LAWS) == list(range(1, 10))
    assert all(law.title and law.text.endswith(".") for law in LAWS.values())
