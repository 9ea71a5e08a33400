"""Whether a row that failed is tried again in the same campaign, and after which wait.

For a resume, see `resume`.
"""

from typing import Any, Dict, Sequence

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.states import STOPPED, SUCCESS

#: Waiting time before the first, second, … retry, in seconds; the last one holds for all later
#: retries.
BACKOFF_S = (2.0, 10.0, 60.0)


def should_retry(settings: Settings, result: Dict[str, Any], tries: int, retries: int) -> bool:
    """Whether an attempt's `result` leads to another try.

    `tries` counts the attempts so far, `retries` is the row's limit. Only failure classes of
    RUN_RETRY_ON are tried again.
    """
    if result["state"] in (SUCCESS, STOPPED):
        return False
    return result.get("failure_class") in settings["RUN_RETRY_ON"].split() and tries <= retries


def wait_s(tries: int, backoff_s: Sequence[float] = BACKOFF_S) -> float:
    """Seconds to wait before the next try, after `tries` attempts."""
    return backoff_s[min(tries, len(backoff_s)) - 1]
