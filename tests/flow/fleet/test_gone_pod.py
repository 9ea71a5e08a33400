"""Whether results are lost with a pod that is gone."""

from __future__ import annotations

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.fleet.gone_pod import why_nothing_is_missing
from pytest_wf.wire.rows import RowStatus

ROWS = [
    RowStatus("ended", "success"),
    RowStatus("failed", "failed"),
    RowStatus("open", "unknown"),
    RowStatus("unasked", "not_selected"),
    RowStatus("other", "other_pod"),
]
OWN = {"ended", "failed", "open"}


def test_nothing_is_missing_if_other_pods_have_all_rows_of_a_gone_pod() -> None:
    said = why_nothing_is_missing("pod2", ROWS, elsewhere=OWN, here=set())
    assert said.startswith("pod2 is gone: ")
    assert said.endswith("; rows ended, failed had ended on it and went to other pods")


def test_nothing_is_missing_if_the_results_of_a_gone_pod_are_here() -> None:
    said = why_nothing_is_missing("pod2", ROWS, elsewhere={"open"}, here={"ended", "failed"})
    assert said.endswith("or they are here")


def test_results_that_ended_on_a_gone_pod_and_are_not_here_are_lost() -> None:
    with pytest.raises(OperationFailed, match="results of row ended are lost") as found:
        why_nothing_is_missing("pod2", ROWS, elsewhere={"open"}, here={"failed"})
    assert "unknown" not in found.value.message


def test_a_row_that_no_pod_has_may_have_ended_on_the_gone_one() -> None:
    with pytest.raises(OperationFailed, match="how row open ended is unknown"):
        why_nothing_is_missing("pod2", ROWS, elsewhere={"failed"}, here={"ended"})
