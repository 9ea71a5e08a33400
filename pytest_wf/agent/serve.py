"""The dispatch: JSON request lines on stdin, JSON answer lines on stdout."""

from typing import Dict

from pytest_wf.agent.session import Operation

#: Everything that the agent can be asked to do. The sweep's half comes from `agent.campaign`,
#: whose own table ``OPERATIONS: Dict[str, Operation]`` is merged in.
OPERATIONS: Dict[str, Operation] = {}
