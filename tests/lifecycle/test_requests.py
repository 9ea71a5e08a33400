"""The requests of a whole flow: each costs the link's round trip."""

from __future__ import annotations

from itertools import groupby
from typing import Any

#: In the project: notes the operation of each request, without the lease's thread.
_CONFTEST = """\
import json
import threading

from pytest_wf.pods.rpc.channel import Channel

ask = Channel.ask


def noting(self, id, line, **how):
    if threading.current_thread() is threading.main_thread():
        with open("requests.log", "a") as log:
            print(json.loads(line)["op"], file=log)
    return ask(self, id, line, **how)


Channel.ask = noting
"""


def test_a_flow_asks_no_more_than_it_needs(project: Any) -> None:
    (project.root / "conftest.py").write_text(_CONFTEST)

    flown = project.flow("--wf-wait=true", "--wf-fetch=all")

    assert flown.code == 0, flown.output
    asked = (project.root / "requests.log").read_text().split()
    # how often there is news of the rows depends on the machine's speed
    assert [op for op, _ in groupby(asked)] == [
        *("open", "lease-take", "ready", "bootstrap", "has-commit", "checkout", "campaign-start"),
        *("campaign", "fetch-begin", "listing", "fetch-end", "state", "put"),
    ]
