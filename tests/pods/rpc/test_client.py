"""The controller's end of the agent, over links that break."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import AuthenticationError, LinkLost, OperationFailed, Unreachable
from pytest_wf.pods.base import Connection, Stream, Target
from pytest_wf.pods.local import LocalConnection
from pytest_wf.pods.patience import Patience
from pytest_wf.pods.rpc.channel import clean
from pytest_wf.pods.rpc.client import AgentClient
from pytest_wf.wire.files import parse_json, sha256_bytes
from tests.support.agent_pod import config_values

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

Start = Callable[..., AgentClient]

OWNER = {"host": "laptop", "user": "ada", "project": "/p"}


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """The config keys that the agent reads."""
    pod = tmp_path / "pod"
    return config_values(pod / "outputs", pod)


class CountingConnection(LocalConnection):
    """The local connection; notes what was started and lets tests spoil it."""

    def __init__(self) -> None:
        super().__init__(Target("local", "local"))
        self.started: list[Sequence[str]] = []
        self.replace: Callable[[Sequence[str]], Sequence[str]] = lambda argv: argv

    def start(self, argv: Sequence[str]) -> Any:
        self.started.append(argv)
        return super().start(self.replace(argv))


@pytest.fixture
def connection() -> Iterator[CountingConnection]:
    """A link to this machine."""
    opened = CountingConnection()
    yield opened
    opened.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes clients, as `AgentClient` does, and closes them afterwards."""
    started: list[AgentClient] = []

    def make(*words: Any, **options: Any) -> AgentClient:
        started.append(AgentClient(*words, **options))
        return started[-1]

    yield make
    for client in started:
        client.close()


@pytest.fixture
def local(start: Start, connection: CountingConnection, values: dict[str, str]) -> AgentClient:
    """A client on this machine."""
    return start(connection, values)


def take_lease(client: AgentClient) -> None:
    client.token = client.request("lease-take", {"owner": OWNER})["token"]
    client.request("config-sync")
    client.request("ready")


def test_requests_share_one_channel_and_are_counted(
    local: AgentClient, connection: CountingConnection
) -> None:
    for _ in range(5):
        local.request("state")

    assert len(connection.started) == 1
    assert local.round_trips == 6


def test_a_refusal_carries_what_the_pod_said(local: AgentClient) -> None:
    local.request("lease-take", {"owner": OWNER})

    with pytest.raises(OperationFailed) as refused:
        local.request("lease-take", {"owner": {**OWNER, "user": "bob"}})

    assert refused.value.kind == "lease-held"
    assert refused.value.facts["owner"] == OWNER
    assert "Wait" in refused.value.remedy


def test_many_threads_may_ask_at_once(local: AgentClient) -> None:
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(local.request("state"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer["state"] for answer in answers] == ["INIT"] * 8


@pytest.mark.fault("N1")
def test_an_agent_that_is_killed_is_started_again(
    local: AgentClient, connection: CountingConnection
) -> None:
    os.kill(local.hello["pid"], signal.SIGKILL)

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 2


def test_an_agent_that_always_dies_is_broken_not_retried_for_ever(
    local: AgentClient, connection: CountingConnection
) -> None:
    dying = ["sh", "-c", "echo wf-agent have; echo out of memory >&2"]
    connection.replace = lambda argv: dying
    os.kill(local.hello["pid"], signal.SIGKILL)

    with pytest.raises(OperationFailed, match="out of memory") as failed:
        local.request("state")

    assert failed.value.kind == "agent-broken"
    assert len(connection.started) < 8


def test_an_interrupted_request_leaves_the_client_usable(
    start: Start,
    connection: CountingConnection,
    local: AgentClient,
    values: dict[str, str],
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "slow.sh"
    script.write_text(f"echo begun\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = start(connection, values)
    take_lease(client)

    def interrupt(event: Any) -> None:
        if event.get("line") == "begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.request("bootstrap", id="b-1", on_event=interrupt)

    assert client.request("state")["state"] == "POD_READY"
    assert client.request("operation", {"id": "b-1"}) == {"state": "running"}
    gate.touch()
    assert client.request("bootstrap", id="b-1")["scripts"][0]["rc"] == 0


def test_a_request_past_its_time_fails_and_its_late_answer_is_dropped(
    start: Start, connection: CountingConnection, values: dict[str, str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = tmp_path / "slow.sh"
    script.write_text(f"while [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    client = start(connection, values)
    take_lease(client)

    with pytest.raises(OperationFailed, match=r"within 0\.5 s") as failed:
        client.request("bootstrap", id="b-1", timeout_s=0.5)
    gate.touch()
    done = client.request("bootstrap", id="b-1")

    assert failed.value.kind == "timeout"
    assert done["missing"] == []
    assert client.request("state")["state"] == "BOOTSTRAPPED"


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


@pytest.mark.parametrize(
    "lines",
    [
        "print('Segmentation fault')",
        "print('[1]')",
        "print(json.dumps({'id': id, 'ok': 'yes', 'result': {}}))",
        "print(json.dumps({'id': id, 'ok': True, 'result': []}))",
        "print(json.dumps({'id': id, 'ok': False, 'error': {'kind': 1}}))",
        'print(\'{"id":"%s","ok":true,"ok":true,"result":{}}\' % id)',
        "print('[' * 100000)",
        "print('{\"id\": NaN}')",
    ],
)
def test_what_is_not_the_protocol_is_neither_success_nor_retried(
    start: Start, connection: CountingConnection, values: dict[str, str], lines: str
) -> None:
    connection.replace = lambda argv: scripted(lines)
    client = start(connection, values)

    with pytest.raises(OperationFailed) as failed:
        client.request("state", timeout_s=10)

    assert failed.value.kind == "agent-broken"
    assert len(connection.started) == 1


def test_answers_to_others_are_skipped(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    lines = "[print(json.dumps({'id': i, 'ok': True, 'result': {'for': i}})) for i in ('x', id)]"
    connection.replace = lambda argv: scripted(lines)

    client = start(connection, values)

    assert client.request("state", id="mine") == {"for": "mine"}


def test_text_of_the_pod_cannot_steer_a_terminal(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    lines = (
        "print(json.dumps({'id': id, 'ok': False, 'error': {'kind': 'install', 'message': "
        "'\\x1b]0;owned\\x07\\x1b[2J\\u009bA\\tok\\u202e\\u2066\\n', "
        "'remedy': '', 'facts': {'\\x1b': ['\\r']}}}))"
    )
    connection.replace = lambda argv: scripted(lines)

    with pytest.raises(OperationFailed) as failed:
        start(connection, values).request("state")

    assert failed.value.message == "�]0;owned��[2J�A\tok��\n"
    assert failed.value.facts == {"�": ["�"]}
    assert clean("schön 😀") == "schön 😀"


def test_a_login_that_prints_is_no_obstacle(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: ["sh", "-c", 'echo "Welcome!"; echo; exec "$@"', "sh", *argv]

    assert start(connection, values).request("state")["state"] == "INIT"


def test_a_login_that_prints_without_end_is_one(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: ["yes", "Welcome!"]

    with pytest.raises(OperationFailed, match="prints without end"):
        start(connection, values)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["sh", "-c", "echo python3: not found >&2; exit 127"], "python3: not found"),
        (["echo", "wf-agent bad not-a-pod python3 is older than 3.8: 3.6.9"], "older than 3.8"),
    ],
    ids=["no python", "an old python"],
)
def test_a_machine_without_a_usable_python_is_no_pod(
    start: Start, connection: CountingConnection, values: dict[str, str], argv: list[str], why: str
) -> None:
    connection.replace = lambda _: argv

    with pytest.raises(OperationFailed, match=why) as failed:
        start(connection, values)

    assert failed.value.kind == "not-a-pod"


@pytest.mark.fault("N5")
def test_a_silent_link_is_given_up_and_opened_anew(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    connection.replace = lambda argv: scripted("time.sleep(600)")
    fresh = CountingConnection()
    client = start(connection, values, reconnect=lambda: fresh, patience=Patience(silence_s=2))

    assert client.request("state")["state"] == "INIT"

    assert not connection.is_alive()
    fresh.close()


def test_a_link_that_does_not_come_back_is_unknown_and_said_so(
    start: Start, local: AgentClient, connection: CountingConnection, values: dict[str, str]
) -> None:
    tried = 0

    def unreachable() -> Connection:
        nonlocal tried
        tried += 1
        raise Unreachable("no route to the pod")

    client = start(connection, values, reconnect=unreachable, patience=Patience(2.0))
    connection.close()

    with pytest.raises(LinkLost, match=r"pod lost since .*: no route to the pod") as lost:
        client.request("state")

    assert "unknown" in lost.value.remedy
    assert tried >= 2


def test_a_lost_pod_costs_the_next_question_one_try_and_no_patience(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    now, tried, fresh = [0.0], 0, CountingConnection()
    patience = Patience(0, clock=lambda: now[0])

    def reconnect() -> Connection:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise Unreachable("no route to the pod")
        return fresh

    client = start(connection, values, reconnect=reconnect, patience=patience)
    connection.close()

    for expected, wait_s in ((0, 0), (0, 60), (1, 0), (1, 60), (2, 0)):
        with pytest.raises(LinkLost, match="pod lost since"):
            client.request("state")
        assert tried == expected
        now[0] += wait_s
    now[0] += 60
    assert client.request("state")["state"] == "INIT"
    assert not patience.is_over
    fresh.close()


def test_without_a_way_to_reconnect_a_closed_link_is_lost_at_once(
    local: AgentClient, connection: CountingConnection
) -> None:
    connection.close()

    with pytest.raises(LinkLost):
        local.request("state")


@pytest.mark.fault("N10")
def test_a_login_that_is_refused_is_not_tried_again(
    start: Start, connection: CountingConnection, values: dict[str, str]
) -> None:
    tried = 0

    def refused() -> Connection:
        nonlocal tried
        tried += 1
        raise AuthenticationError("the pod refused every key.")

    client = start(connection, values, reconnect=refused)
    connection.close()

    with pytest.raises(AuthenticationError):
        client.request("state")

    assert tried == 1


def test_an_upload_is_whole_and_verified(local: AgentClient, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "source").write_bytes(content)
    path = tmp_path / "pod" / "outputs" / "_control" / "bundles" / "x.bundle"

    local.upload(str(path), str(tmp_path / "source"))

    assert sha256_bytes(path.read_bytes()) == sha256_bytes(content)
    assert os.listdir(path.parent) == ["x.bundle"]


def test_an_upload_that_the_pod_cannot_take_is_refused(local: AgentClient, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "file").touch()

    with pytest.raises(OperationFailed, match="did not take"):
        local.upload(str(tmp_path / "file" / "x"), str(tmp_path / "source"))


@pytest.mark.fault("N3")
def test_an_upload_whose_link_breaks_is_sent_again(
    local: AgentClient, connection: CountingConnection, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(b"content")
    path = tmp_path / "pod" / "x"
    cut = iter([["sh", "-c", "exit 1"]])
    connection.replace = lambda argv: next(cut, argv) if "receive" in argv else argv

    local.upload(str(path), str(tmp_path / "source"))

    assert path.read_bytes() == b"content"


def read_all(stream: Stream) -> bytes:
    pieces = []
    while piece := stream.read(1 << 16, timeout_s=20):
        pieces.append(piece)
    stream.close()
    return b"".join(pieces)


def test_an_archive_streams_the_asked_files(local: AgentClient, tmp_path: Path) -> None:
    run = tmp_path / "pod" / "outputs" / "run-1"
    run.mkdir(parents=True)
    (run / "stdout.log").write_bytes(b"loss 0.5\n")

    mtime_ns = (run / "stdout.log").stat().st_mtime_ns
    stream = local.archive()
    stream.write(local.archive_request([("run-1", [("stdout.log", 9, mtime_ns, 0)])]))
    stream.close_stdin()
    raw = read_all(stream)

    header, rest = raw.split(b"\n", 1)
    assert parse_json(header)["paths"] == ["stdout.log"]
    assert rest.startswith(b"loss 0.5\n")
    assert parse_json(rest.splitlines()[1]) == {
        "sha256": [sha256_bytes(b"loss 0.5\n")],
        "problems": [""],
    }
    assert json.loads(rest.splitlines()[-1]) == {"end": 1}


def test_where_nothing_may_be_written_nothing_is_uploaded(
    start: Start, connection: CountingConnection, values: dict[str, str], tmp_path: Path
) -> None:
    client = start(connection, values, write_nothing=True)
    (tmp_path / "source").touch()

    with pytest.raises(OperationFailed) as refused:
        client.upload(str(tmp_path / "x"), str(tmp_path / "source"))

    assert refused.value.kind == "not-in-contract"
    assert client.agent_path == ""


# Over SSH, with a real server


def test_one_connection_carries_the_whole_conversation(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str]
) -> None:
    before = sshd.accepted()
    connection = client.connect()
    agent = start(connection, values)
    take_lease(agent)

    assert agent.request("bootstrap")["missing"] == []
    assert agent.request("state")["state"] == "BOOTSTRAPPED"

    connection.close()
    assert sshd.accepted() - before == 1


@pytest.mark.fault("N2")
def test_a_link_cut_in_mid_request_attaches_to_the_work_and_does_it_once(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str], tmp_path: Path
) -> None:
    gate, count = tmp_path / "gate", tmp_path / "count"
    script = tmp_path / "b.sh"
    script.write_text(f"echo once >> {count}\nwhile [ ! -e {gate} ]; do sleep 0.02; done\n")
    values["BOOTSTRAP_SCRIPT"] = str(script)
    links = [client.connect()]

    def reconnect() -> Connection:
        links.append(client.connect())
        return links[-1]

    agent = start(links[0], values, reconnect=reconnect)
    take_lease(agent)

    def cut(event: Any) -> None:
        if count.exists() and len(links) == 1 and not gate.exists():
            sshd.cut_sessions()
            gate.touch()

    result = agent.request("bootstrap", id="b-1", on_event=cut)

    assert len(links) == 2
    assert result["scripts"][0]["rc"] == 0
    assert count.read_text() == "once\n"
    for link in links:
        link.close()


@pytest.mark.fault("N1", "N9")
def test_a_server_that_comes_back_is_waited_for(
    start: Start, client: Client, sshd: Sshd, values: dict[str, str]
) -> None:
    links = [client.connect()]

    def reconnect() -> Connection:
        links.append(client.connect())
        return links[-1]

    agent = start(links[0], values, reconnect=reconnect)
    sshd.cut_sessions()
    sshd.stop()
    back = threading.Timer(0.7, sshd.start)
    back.start()

    assert agent.request("state")["state"] == "INIT"

    back.join()
    for link in links:
        link.close()


@pytest.mark.timeout(15)
def test_after_an_interruption_an_agent_that_hangs_gets_one_short_try(
    local: AgentClient, connection: CountingConnection
) -> None:
    # as on a disk that hangs: the machine starts commands, and no agent reads anything
    connection.replace = lambda argv: ["sleep", "60"] if "-I" in argv else argv
    os.kill(local.hello["pid"], signal.SIGKILL)
    local._patience.doubt()
    for _ in range(3):
        with pytest.raises(LinkLost, match="pod lost since"):
            local.request("state")


def test_after_an_interruption_an_agent_that_answers_is_kept(
    local: AgentClient, connection: CountingConnection
) -> None:
    local.request("state")
    local._patience.doubt()

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 1
    assert not local._patience.is_over


def test_after_an_interruption_an_agent_that_is_gone_is_started_again(
    local: AgentClient, connection: CountingConnection
) -> None:
    os.kill(local.hello["pid"], signal.SIGKILL)
    local._patience.doubt()

    assert local.request("state")["state"] == "INIT"
    assert len(connection.started) == 2
