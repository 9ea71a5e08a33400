"""P40: prerequisites and helper scripts on the pod."""

from __future__ import annotations

from collections.abc import Callable

from pytest_wf.errors import OperationFailed
from pytest_wf.flow.operations.checkout import operation_log
from pytest_wf.flow.results import Result
from pytest_wf.flow.session import PodSession
from pytest_wf.wire import fsm, operations


def bootstrap(
    session: PodSession, *, verify: bool = False, show: Callable[[str], None] | None = None
) -> Result:
    """Install prerequisites and run the helper scripts; with `verify` change nothing."""
    session.hold_lease()
    if verify:
        _require_campaign(session)
    facts = session.request_to_its_end(operations.BOOTSTRAP, {"verify": verify}, show)
    return Result("bootstrap", facts, artifacts=operation_log(session, "bootstrap-log", facts))


def _require_campaign(session: PodSession) -> None:
    try:
        fsm.check("sweep-resume", str(session.state()["state"]))
    except fsm.IllegalTransition as e:
        raise OperationFailed("illegal-state", str(e)) from None
