"""The agent as a process: one channel, requests and answers by id."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from pytest_wf.agent import process
from pytest_wf.agent.control import journal
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.server import dispatch
from pytest_wf.agent.server.operations import OPERATIONS
from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire import messages
from pytest_wf.wire.process import boot_id
from tests.support.agent_pod import OWNER, made_ready


class Agent:
    """An agent over plain pipes: what is sent is what is written."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            process.agent_argv("serve", ""),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout

    def send(self, line: bytes) -> None:
        self.stdin.write(line)
        self.stdin.flush()

    def answer(self) -> dict[str, Any]:
        while "event" in (body := json.loads(self.stdout.readline())):
            pass
        return dict(body)

    def ask(self, op: str, token: int | None = None, **args: Any) -> dict[str, Any]:
        self.send(messages.request("r-1", op, args, token))
        return self.answer()


@pytest.fixture
def agent() -> Iterator[Agent]:
    """A fresh agent to which nothing was said."""
    started = Agent()
    yield started
    with started.process:
        started.process.kill()


@pytest.mark.parametrize(
    "line",
    [
        *(b"\n", b"hello\n", b"[]\n", b"{}\n", b'{"id":1,"op":"state","args":{}}\n'),
        *(b'{"id":"a","op":"state","args":[]}\n', b'{"id":"a","id":"b","op":"","args":{}}\n'),
        b'{"id":"a","op":"state","args":{},"token":"1"}\n',
        b'{"id":"a","op":"state","args":{},"token":true}\n',
        b'{"id":"a","op":"state","args":{"x":NaN}}\n',
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_heard(
    agent: Agent, line: bytes, values: dict[str, str]
) -> None:
    agent.send(line)

    assert agent.answer()["error"]["kind"] == "agent-broken"
    assert agent.ask("open", settings=values)["ok"]


def test_nothing_is_done_before_open(agent: Agent) -> None:
    assert "before 'open'" in agent.ask("state")["error"]["message"]


def test_an_unknown_operation_is_refused(agent: Agent, values: dict[str, str]) -> None:
    agent.ask("open", settings=values)

    assert "no operation 'make-coffee'" in agent.ask("make-coffee")["error"]["message"]


def test_open_tells_who_answers(agent: Agent, values: dict[str, str]) -> None:
    hello = agent.ask("open", settings=values)["result"]

    assert hello["pid"] == agent.process.pid
    assert hello["uid"] == os.getuid()
    assert hello["boot_id"] == boot_id()


def test_the_agent_goes_when_its_controller_does(agent: Agent, values: dict[str, str]) -> None:
    agent.ask("open", settings=values)

    agent.stdin.close()

    assert agent.process.wait(timeout=60) == 0


def test_reading_writes_nothing_on_the_pod(agent: Agent, values: dict[str, str]) -> None:
    agent.ask("open", settings=values)

    assert agent.ask("state")["ok"]
    assert agent.ask("probe")["ok"]
    assert agent.ask("operation", id="r-unknown")["result"] == {"state": "unknown"}
    assert not Path(values["OPS_REMOTE_OUTPUTS_DIR"]).exists()


def test_a_change_without_the_lease_is_refused(agent: Agent, values: dict[str, str]) -> None:
    agent.ask("open", settings=values)

    for token in (None, 0, 99):
        for op in ("config-sync", "ready", "bootstrap", "checkout", "put", "delete", "fsm-reset"):
            assert agent.ask(op, token)["error"]["kind"] == "lease-lost", op


def test_a_config_that_is_not_on_the_pod_stops_changes(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> None:
    client = connect(values)
    client.token = client.request("lease-take", {"owner": OWNER})["token"]
    for op in ("bootstrap", "checkout"):
        with pytest.raises(OperationFailed) as refused:
            client.request(op)
        assert refused.value.kind == "config-not-synced"

    synced = client.request("config-sync")

    assert Settings.read(synced["path"]) == Settings(values)
    assert Path(synced["path"]).stat().st_mode & 0o777 == 0o600
    assert client.request("ready")["state"] == "POD_READY"
    Path(synced["path"]).write_text("REPO_URL='elsewhere'\n")
    with pytest.raises(OperationFailed, match="is not the config of this controller"):
        client.request("bootstrap")


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_of_somebody_else_is_not_replaced_by_the_config(
    connect: Callable[..., AgentClient], values: dict[str, str], tmp_path: Path, is_link: bool
) -> None:
    bashrc = tmp_path / ".bashrc"
    bashrc.write_text("export PATH=/opt/bin:$PATH\n")
    path = tmp_path / "link" if is_link else bashrc
    if is_link:
        path.symlink_to(bashrc)
    client = connect({**values, "REMOTE_ENV_PATH": str(path)})
    client.token = client.request("lease-take", {"owner": OWNER})["token"]

    with pytest.raises(OperationFailed, match=f"{path} exists, and pytest-wf did not") as refused:
        client.request("config-sync")

    assert refused.value.kind == "not-ours"
    assert bashrc.read_text() == "export PATH=/opt/bin:$PATH\n"


def test_the_probe_tells_tools_disks_paths_and_gpus(
    client: AgentClient, values: dict[str, str]
) -> None:
    probe = client.request("probe")

    assert probe["os"] == "Linux"
    assert probe["tools"]["git"].startswith("2.")
    assert probe["memory_bytes"] > 1 << 26
    assert probe["cpus"] >= 1
    assert all(disk["free_bytes"] > 0 for disk in probe["disk"])
    outputs = probe["paths"]["OPS_REMOTE_OUTPUTS_DIR"]
    assert outputs == {"path": values["OPS_REMOTE_OUTPUTS_DIR"], "exists": True, "writable": True}
    assert isinstance(probe["gpus"], list)


def test_the_gpus_are_those_that_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_wf.agent.setup import probe

    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\ncase $1 in\n"
        "--query-gpu=*) echo '0, NVIDIA H100 80GB HBM3, 81559, 550.54, GPU-a'\n"
        "  echo '1, NVIDIA H100 80GB HBM3, [N/A], 550.54, GPU-b'; echo No devices;;\n"
        "--query-compute-apps=*) echo 'GPU-b, 4242, python, 20000';;\n"
        "*) echo '| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4 |';;\nesac\n"
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    common = {"name": "NVIDIA H100 80GB HBM3", "driver": "550.54", "cuda": "12.4"}
    user = {"pid": 4242, "name": "python", "used_mib": 20000}

    found = probe.gpus()

    assert found == [
        {**common, "index": 0, "memory_mib": 81559, "uuid": "GPU-a", "busy": []},
        {**common, "index": 1, "memory_mib": None, "uuid": "GPU-b", "busy": [user]},
    ]
    assert probe.busy_gpus(found) == ["GPU 1 is in use by pid 4242 (python, 20000 MiB)"]


def test_copies_of_evidence_are_kept_below_their_two_places(
    client: AgentClient, values: dict[str, str]
) -> None:
    data = base64.b64encode(b"{}").decode()
    name = "_control/evidence/f-1/phase.P00.verdict.json"

    kept = client.request("put", {"name": name, "data": data})

    assert Path(kept["path"]).read_bytes() == b"{}"
    assert kept["path"] == f"{values['OPS_REMOTE_OUTPUTS_DIR']}/{name}"


@pytest.mark.parametrize(
    "name",
    [
        *("x.json", "_manifests", "_manifests/", "_manifests/../x", "_manifests/a/../../x"),
        *("/etc/passwd", "_control/lease.json", "_control/evidence/.hidden", "_manifests//x"),
        "_control/evidence/../lease.json",
    ],
)
def test_copies_go_nowhere_else(client: AgentClient, name: str) -> None:
    with pytest.raises(OperationFailed, match="name for a copy"):
        client.request("put", {"name": name, "data": ""})


def test_a_link_does_not_lead_a_copy_away(
    client: AgentClient, settings: Settings, tmp_path: Path
) -> None:
    Path(settings.manifests).symlink_to(tmp_path)

    with pytest.raises(OperationFailed) as refused:
        client.request("put", {"name": "_manifests/x.json", "data": ""})

    assert refused.value.kind == "hostile-answer"
    assert not (tmp_path / "x.json").exists()


def test_a_reset_by_hand_is_recorded_as_manual(client: AgentClient) -> None:
    shown = client.request("fsm-reset", {"state": "CHECKED_OUT", "reason": "restored"})

    assert shown["state"] == "CHECKED_OUT"
    assert shown["reason"] == "manual: restored"


def test_a_detached_operation_survives_the_death_of_its_agent(
    connect: Callable[..., AgentClient], values: dict[str, str], tmp_path: Path
) -> None:
    gate, count = tmp_path / "gate", tmp_path / "count"
    os.mkfifo(gate)
    script = tmp_path / "bootstrap.sh"
    script.write_text(f"echo started >> {count}\ncat {gate}\necho done >> {count}\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = connect(values)
    made_ready(client)
    killed: list[int] = []

    def kill_the_agent(event: Any) -> None:
        # once: the next agent tells of the operation, too, if it has not ended by then
        if count.exists() and not killed:
            killed.append(client.hello["pid"])
            os.kill(killed[0], signal.SIGKILL)
            gate.write_text("go on\n")

    result = client.request("bootstrap", id="b-1", on_event=kill_the_agent)

    assert result["scripts"][0]["rc"] == 0
    assert client.hello["pid"] not in (0, *killed)
    assert killed
    assert count.read_text() == "started\ndone\n"
    result.pop("log", None)  # the answer brings it to whoever still waited for the end
    assert client.request("bootstrap", id="b-1") == result
    assert client.request("operation", {"id": "b-1"})["state"] == "done"


def test_a_detached_operation_whose_process_dies_has_failed(
    connect: Callable[..., AgentClient],
    values: dict[str, str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    script = tmp_path / "bootstrap.sh"
    log = Path(journal.folder(settings, "b-1"), "log")
    # the process of the operation is the parent of its step, and writes its log
    script.write_text(
        f"echo last words\nuntil grep -qx 'last words' {log}; do sleep 0.02; done\n"
        "kill -9 $PPID\nsleep 60\n"
    )
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = connect(values)
    made_ready(client)

    for _ in range(2):
        with pytest.raises(OperationFailed, match="without an answer") as failed:
            client.request("bootstrap", id="b-1")
        assert failed.value.kind == "remote-failed"
        assert "last words" in failed.value.facts["log_tail"]
    assert client.request("state")["state"] == "POD_READY"


def test_a_cancelled_operation_answers_so_and_leaves_no_process(
    connect: Callable[..., AgentClient],
    values: dict[str, str],
    settings: Settings,
    tmp_path: Path,
) -> None:
    script = tmp_path / "bootstrap.sh"
    script.write_text("setsid sleep 600 &\necho waiting\nsleep 600\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client, other = connect(values), connect(values)
    other.token = made_ready(client).token
    cancelled: list[dict[str, Any]] = []
    cookies: list[str] = []

    def cancel(event: Any) -> None:
        if event.get("line") == "waiting" and not cancelled:
            known = journal.known_process(journal.folder(settings, "b-1"))
            assert known is not None
            cookies.append(known["cookie"])
            cancelled.append(other.request("cancel", {"id": "b-1"}))

    with pytest.raises(OperationFailed) as failed:
        client.request("bootstrap", id="b-1", on_event=cancel)

    assert failed.value.kind == "interrupted"
    assert cancelled == [{"killed": True, "leftovers": []}]
    assert process.holders(cookies[0]) == set()
    assert other.request("cancel", {"id": "b-1"}) == {"killed": False, "leftovers": []}


@pytest.mark.fault("C6")
def test_work_of_a_controller_that_lost_the_pod_moves_no_state(
    connect: Callable[..., AgentClient], values: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "bootstrap.sh"
    taken = tmp_path / "taken"
    script.write_text(f"echo waiting\nwhile [ ! -e {taken} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client, other = connect(values), connect(values)
    made_ready(client)

    def take_over(event: Any) -> None:
        if event.get("line") == "waiting" and not taken.exists():
            owner = {**OWNER, "user": "bob"}
            other.request("lease-take", {"owner": owner, "takeover_token": client.token})
            taken.touch()

    with pytest.raises(OperationFailed) as failed:
        client.request("bootstrap", on_event=take_over)

    assert failed.value.kind == "lease-lost"
    assert other.request("state")["state"] == "POD_READY"


@pytest.mark.fault("C6")
def test_the_next_holder_of_the_lease_ends_what_an_earlier_one_left(
    connect: Callable[..., AgentClient], values: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    script, taken = tmp_path / "bootstrap.sh", tmp_path / "taken"
    script.write_text(f"[ -e {taken} ] && exit 0\nsetsid sleep 600 &\necho waiting\nsleep 600\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client, other = connect(values), connect(values)
    made_ready(client)
    done: list[dict[str, Any]] = []

    def take_over(event: Any) -> None:
        if event.get("line") == "waiting" and not taken.exists():
            taken.touch()
            lease = {"owner": {**OWNER, "user": "bob"}, "takeover_token": client.token}
            other.token = other.request("lease-take", lease)["token"]
            done.append(other.request("bootstrap"))

    with pytest.raises(OperationFailed) as failed:
        client.request("bootstrap", id="b-1", on_event=take_over)
    assert failed.value.kind == "lease-lost"
    assert [script["rc"] for script in done[0]["scripts"]] == [0]
    known = journal.known_process(journal.folder(settings, "b-1"))
    assert known is not None and process.holders(known["cookie"]) == set()


def test_a_long_request_keeps_nobody_waiting_and_beats(
    agent: Agent, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    answers, out = os.pipe()
    gate_read, gate = os.pipe()
    slow = lambda _session, _args: {"read": os.read(gate_read, 1).decode()}
    monkeypatch.setitem(OPERATIONS, "probe", slow)
    monkeypatch.setattr(dispatch, "BEAT_S", 0.05)
    server = dispatch.Server(read, out)
    thread = threading.Thread(target=server.run)
    thread.start()
    with os.fdopen(answers, "rb") as lines:
        os.write(write, messages.request("r-0", "open", {"settings": values}))
        assert json.loads(lines.readline())["ok"]
        os.write(write, messages.request("r-slow", "probe", {}))
        assert json.loads(lines.readline()) == {"id": "r-slow", "event": {"beat": True}}
        os.write(write, messages.request("r-quick", "state", {}))
        while "event" in (body := json.loads(lines.readline())):
            pass
        assert body["id"] == "r-quick"
        os.write(gate, b"x")
        while "event" in (body := json.loads(lines.readline())):
            pass
        assert body == {"id": "r-slow", "ok": True, "result": {"read": "x"}}
        os.close(write)
        thread.join()
    for fd in (read, out, gate_read, gate):
        os.close(fd)


def test_a_pod_that_is_made_ready_has_the_config_and_tells_its_facts(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> None:
    client = connect(values)
    client.token = client.request("lease-take", {"owner": OWNER})["token"]

    told = client.request("ready", {"commits": True})

    assert Settings.read(told["config_path"]) == Settings(values)
    assert told["probe"]["os"] == client.hello["os"] == "Linux"
    assert told["trained_commits"] == []


def test_a_copy_is_kept_and_the_lease_released_with_one_request(
    connect: Callable[..., AgentClient], values: dict[str, str]
) -> None:
    client = connect(values)
    client.token = client.request("lease-take", {"owner": OWNER})["token"]

    with pytest.raises(OperationFailed, match="not a name for a copy"):
        client.request("put", {"name": "../x", "data": "", "drop": True})

    assert client.request("state")["lease"] is None
