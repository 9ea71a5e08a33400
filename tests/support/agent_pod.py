"""What a request to the agent needs first: the lease, and a pod that is ready."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.config.keys import KEYS
from pytest_wf.pods.rpc.client import AgentClient

OWNER = {
    "host": "laptop",
    "user": "ada",
    "pid": 7,
    "start_time": 1,
    "project": "/p",
    "flow_id": "f",
}


def made_ready(client: AgentClient) -> AgentClient:
    """`client` with the lease, after P30."""
    client.token = client.request("lease-take", {"owner": OWNER})["token"]
    client.request("config-sync")
    client.request("ready", {"flow_id": "f-1"})
    return client


def config_values(outputs: Path, elsewhere: Path) -> dict[str, str]:
    """All config keys as the controller sends them, for a pod in these two directories."""
    # defaults that refer to other keys are the controller's to resolve
    defaults = {key.name: "" if "${" in key.default else key.default for key in KEYS}
    return {
        **defaults,
        "WF_PROJECT": "toy",
        "OPS_REMOTE_OUTPUTS_DIR": str(outputs),
        "OPS_REMOTE_REPO": str(elsewhere / "repo"),
        "REMOTE_ENV_PATH": str(elsewhere / "project.env"),
        "WF_STATE_FILE": str(outputs / "_control" / "workflow_state.json"),
    }
