"""Links to this machine whose agent a test replaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_wf.pods.base import Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.rpc.client import AgentClient

#: Makes clients, as `AgentClient` does.
Start = Callable[..., AgentClient]


class CountingConnection(LocalConnection):
    """The local connection; notes what was started and lets tests spoil it."""

    def __init__(self) -> None:
        super().__init__(Target("local", "local"))
        self.started: list[Sequence[str]] = []
        self.replace: Callable[[Sequence[str]], Sequence[str]] = lambda argv: argv

    def start(self, argv: Sequence[str]) -> Any:
        self.started.append(argv)
        return super().start(self.replace(argv))


def scripted(lines: str, before: str = "wf-agent have") -> list[str]:
    """An 'agent' that answers `open`, and then every request with `lines`."""
    script = (
        "import json, sys, time\n"
        f"print({before!r}, flush=True)\n"
        "for number, line in enumerate(sys.stdin):\n"
        "    id = json.loads(line)['id']\n"
        "    if number == 0:\n"
        "        print(json.dumps({'id': id, 'ok': True, 'result': {}}), flush=True)\n"
        "        continue\n"
        f"    {lines}\n"
        "    sys.stdout.flush()\n"
    )
    return ["python3", "-c", script]
