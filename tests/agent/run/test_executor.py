"""A campaign whose rows an executor of another make runs: the toy queue."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control.request import Session
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.files import read_json
from tests.support import toy_queue
from tests.support.sweep_pod import make_row, ready_pod
from tests.support.waiting import until

if TYPE_CHECKING:
    from pytest_wf.pods.rpc.client import AgentClient

#: Says that it has begun, and goes on until it may end.
WAITING = (
    "with open(outputs / 'begun', 'a') as f: f.write(os.environ['RUN_ID'] + '\\n')\n"
    "while not (outputs / 'go').exists(): time.sleep(0.02)\n"
)


class AgentHere:
    """The agent's operations in this process, in place of a client's connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.token: int | None = None

    def request(self, op: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do one operation."""
        session = Session(self.settings, uuid.uuid4().hex, self.token, lambda body: None)
        return OPERATIONS[op](session, args or {})


@pytest.fixture
def toy_pod(
    sweep_values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A pod in CHECKED_OUT whose rows are executed by the toy queue."""
    toy = [sys.executable, str(Path(toy_queue.__file__))]
    # the supervisor, too, is the agent with this executor in its table
    monkeypatch.setattr(process, "agent_argv", lambda *words: [*toy, *words])
    queue = tmp_path / "pod" / "queue"
    queue.mkdir(parents=True)
    daemon = subprocess.Popen([*toy, "serve", str(queue)])
    mine = {**sweep_values, "WF_ENGINE": "toy"}
    pod = ready_pod(cast("AgentClient", AgentHere(Settings(mine))), mine)
    yield pod
    pod.client.request("campaign-stop")
    daemon.kill()
    daemon.wait()
    subprocess.run(["tmux", "-L", ids.tmux_socket(str(pod.outputs)), "kill-server"], check=False)


def begun(pod: Any) -> list[str]:
    """The rows whose trainer has begun."""
    path = pod.outputs / "begun"
    return sorted(path.read_text().split()) if path.exists() else []


def test_a_campaign_runs_to_its_end_through_another_executor(toy_pod: Any) -> None:
    toy_pod.trainer("print('trained', flush=True)\nsys.exit(os.environ['RUN_ID'] == 'bad')\n")
    rows = toy_pod.run_to_end(*[make_row(name) for name in ("a", "b", "bad", "c")])
    assert [row["state"] for row in rows.values()] == ["success", "success", "failed", "success"]
    assert "trained" in toy_pod.log("c")
    assert read_json(str(toy_pod.outputs / "a/attempts/1/pid.json"))["job"].endswith(".a.1")
    assert toy_pod.status()["state"] == fsm.SWEEP_COMPLETED


def test_a_stopped_campaign_leaves_nothing_in_the_other_executor(toy_pod: Any) -> None:
    toy_pod.trainer(WAITING)
    toy_pod.start(*[make_row(name) for name in "ab"])
    until(lambda: begun(toy_pod) == ["a", "b"], "both slots are taken")
    stopped = toy_pod.client.request("campaign-stop")
    assert (stopped["leftovers"], stopped["state"]) == ([], fsm.SWEEP_STALLED)
    assert [row["state"] for row in toy_pod.rows().values()] == ["stopped", "stopped"]
    assert not toy_pod.cookie_holders("a") and not toy_pod.cookie_holders("b")


def test_rows_of_a_killed_supervisor_go_on_in_the_other_executor_and_are_adopted(
    toy_pod: Any,
) -> None:
    toy_pod.trainer(WAITING)
    toy_pod.start(*[make_row(name) for name in "abc"])
    until(lambda: begun(toy_pod) == ["a", "b"], "both slots are taken")
    until((toy_pod.outputs / "c" / "attempts" / "1" / "pid.json").exists, "c is in the queue")
    assert toy_pod.kill_supervisor()
    assert {row["state"] for row in toy_pod.rows().values()} == {"running"}
    assert toy_pod.resume()["to_run"] == ["a", "b", "c"]
    (toy_pod.outputs / "go").touch()
    assert toy_pod.ended()["ok"] == 3
    assert begun(toy_pod) == ["a", "b", "c"], "each of them once"
