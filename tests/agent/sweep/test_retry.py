"""When a row that failed is tried again, and after which wait."""

from __future__ import annotations

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.sweep.retry import BACKOFF_S, should_retry, wait_s


@pytest.mark.parametrize(
    ("result", "tries", "again"),
    [
        ({"state": "failed", "failure_class": "oom"}, 1, True),
        ({"state": "failed", "failure_class": "oom"}, 3, False),
        ({"state": "failed", "failure_class": "code"}, 1, False),
        ({"state": "timed_out", "failure_class": "timeout"}, 1, False),
        ({"state": "success"}, 1, False),
        ({"state": "stopped", "failure_class": "oom"}, 1, False),
    ],
)
def test_only_the_classes_of_run_retry_on_are_tried_again_and_as_often_as_allowed(
    values: dict[str, str], result: dict[str, str], tries: int, again: bool
) -> None:
    settings = Settings({**values, "RUN_RETRY_ON": "oom nccl"})
    assert should_retry(settings, result, tries, retries=2) is again


def test_the_last_wait_holds_for_all_further_tries() -> None:
    assert [wait_s(tries) for tries in (1, 2, 3, 4, 50)] == [*BACKOFF_S, 60.0, 60.0]
