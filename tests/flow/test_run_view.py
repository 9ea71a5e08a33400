"""A row as a test case sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_wf.flow.run_view import RunView
from pytest_wf.wire.rows import RowStatus


def test_a_failed_row_says_what_to_do_before_the_end_of_its_log() -> None:
    row = RowStatus("lr-01", "failed", ok=False, failure_class="import", reason="no torch")
    kept: list[str] = []
    flow: Any = SimpleNamespace(
        sweep=SimpleNamespace(row=lambda _: row, tail=lambda _: "one\ntwo"),
        redactor=SimpleNamespace(shown=lambda text: text),
        watched=SimpleNamespace(keep_log_tail=lambda _, tail: kept.append(tail)),
    )

    lines = RunView(flow, "lr-01").why().splitlines()

    assert lines[:2] == ["row lr-01 failed, class import", "because: no torch"]
    assert lines[2].startswith("to do: Install it by `CHECKOUT_INSTALL_CMD`, or point `REMOTE_PY")
    assert lines[2].endswith("(wf explain import)")
    assert lines[3:] == ["--- end of its log ---", "one", "two"]
    assert kept == ["one\ntwo"]
