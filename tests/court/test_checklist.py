"""The checklist is plain Markdown: a box a phase, events below, kept at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_wf.court.checklist import Checklist
from pytest_wf.court.contract import Contract
from pytest_wf.court.phases import CONTRACTS


@pytest.fixture
def checklist(tmp_path: Path) -> Checklist:
    return Checklist(tmp_path / "reports" / "checklist.md", CONTRACTS)


def test_each_phase_has_a_line_in_the_order_of_codes(checklist: Checklist) -> None:
    checklist.begin("f-1")
    boxes = [line for line in _lines(checklist) if line.startswith("- [")]
    assert len(boxes) == len(CONTRACTS)
    assert boxes[4] == (
        "- [ ] P40 BOOTSTRAP - prerequisites are present and helper scripts have run"
    )
    assert "## Events" in _lines(checklist)
    assert checklist.status().flow_id == "f-1"


def test_a_users_own_phase_stands_between(tmp_path: Path) -> None:
    own = Contract("P55", "WARM", "the cache is warm", ("warm",))
    checklist = Checklist(tmp_path / "c.md", {"P55": own, **CONTRACTS})
    checklist.begin("f-1")
    codes = [line[6:9] for line in _lines(checklist) if line.startswith("- [")]
    assert codes == sorted([*CONTRACTS, "P55"])


def test_a_tick_is_seen_by_another_process(checklist: Checklist) -> None:
    checklist.begin("f-1")
    checklist.tick("P00")
    checklist.event("P10 failed\n (code 201)")
    status = Checklist(checklist.path, CONTRACTS).status()
    assert status.done == ("P00",)
    assert status.open[0] == "P10"
    assert status.events[-1].endswith("Z P10 failed (code 201)")


def test_only_phases_with_a_contract_can_be_ticked(checklist: Checklist) -> None:
    checklist.begin("f-1")
    with pytest.raises(KeyError):
        checklist.tick("P77")


def test_the_end_keeps_a_copy_and_clears_the_list(checklist: Checklist) -> None:
    checklist.begin("f-1")
    checklist.tick("P00")
    checklist.end()
    last = checklist.path.with_name("checklist.md.last")
    assert "- [x] P00 PRECHECK" in last.read_text()
    assert checklist.status().done == ()
    assert checklist.status().flow_id is None
    assert checklist.status().events == ()


def test_the_end_leaves_the_list_where_that_was_asked_for(tmp_path: Path) -> None:
    checklist = Checklist(tmp_path / "c.md", CONTRACTS, reset_on_end=False)
    checklist.begin("f-1")
    checklist.tick("P00")
    checklist.end()
    assert checklist.status().done == ("P00",)
    assert checklist.last.read_bytes() == checklist.path.read_bytes()


def test_a_new_flow_begins_with_a_clean_list(checklist: Checklist) -> None:
    checklist.begin("f-1")
    checklist.tick("P00")
    checklist.begin("f-2")
    assert checklist.status().done == ()
    assert len(checklist.status().events) == 1


def test_without_a_file_nothing_is_done(checklist: Checklist) -> None:
    assert checklist.status().open == tuple(CONTRACTS)
    assert checklist.status().flow_id is None


def _lines(checklist: Checklist) -> list[str]:
    return checklist.path.read_text(encoding="utf-8").splitlines()
