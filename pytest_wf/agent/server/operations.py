"""The table of everything that the agent can be asked to do."""

from typing import Dict

from pytest_wf.agent.control.request import Operation
from pytest_wf.agent.host.operations import OPERATIONS as HOST
from pytest_wf.agent.server import detached
from pytest_wf.agent.sweep.operations import OPERATIONS as SWEEP
from pytest_wf.agent.tasks.operations import OPERATIONS as TASKS
from pytest_wf.wire import operations

OPERATIONS: Dict[str, Operation] = {
    operations.CANCEL: detached.cancel,
    **HOST,
    **SWEEP,
    **TASKS,
}
