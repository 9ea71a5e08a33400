"""What a request to the agent needs first: the lease, and a pod that is ready."""

from __future__ import annotations

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
