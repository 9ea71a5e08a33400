"""Logins as OpenSSH users have them: each works, or is refused with the host's own words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc import launch
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values
from tests.support.logins import SHELLS, Login

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

ODD = ["", "a b", "'", '"', "\\", "\\n", "$HOME", "`id`", "!x", "~", "*", "=", "%s", "a\nb", "é"]


class LoggedIn:
    """The agent, or what came instead of it, behind one login."""

    def __init__(self, client: Client, login: Login, pod: Path) -> None:
        self.login = login
        self.pod = pod
        self.connection = type(client)(login.server, client._make, client.project).connect()

    def agent(self) -> AgentClient:
        return AgentClient(self.connection, config_values(self.pod / "outputs", self.pod))

    def refusal(self) -> OperationFailed:
        """Why there is no agent; it has to come within seconds."""
        began = time.monotonic()
        with pytest.raises(OperationFailed) as refused:
            self.agent()
        assert time.monotonic() - began < 10
        assert refused.value.kind == "not-a-pod"
        return refused.value


@pytest.fixture
def log_in(
    client: Client, make_sshd: Callable[..., Sshd], tmp_path: Path
) -> Iterator[Callable[..., LoggedIn]]:
    """Makes logins; takes what `Login` does."""
    made: list[LoggedIn] = []

    def make(**words: Any) -> LoggedIn:
        folder = tmp_path / f"host{len(made)}"
        pod = tmp_path / f"pod{len(made)}"
        made.append(LoggedIn(client, Login(folder, make_sshd, **words), pod))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_arrives_byte_for_byte_in_every_login_shell(
    log_in: Callable[..., LoggedIn], shell: str
) -> None:
    logged_in = log_in(shell=shell)
    show = "import sys\nprint(ascii(sys.argv[1:]))"
    argv = [sys.executable, "-I", "-c", show, *ODD, "a" * 3000]
    done = logged_in.connection.run(argv, timeout_s=30)
    assert done.stdout.strip() == ascii([*ODD, "a" * 3000]), done.stderr
    assert logged_in.connection.run(["no-such-program"], timeout_s=30).returncode


@pytest.mark.parametrize("shell", SHELLS)
def test_the_agent_starts_in_every_login_shell(log_in: Callable[..., LoggedIn], shell: str) -> None:
    agent = log_in(shell=shell).agent()
    assert agent.request("state")["state"] == "INIT"


TITLE = "printf '\\033]0;gpu1\\007'\n"
WORKS = {
    "prints without a newline": TITLE,
    "prints much": "seq 1 20000\n",
    "prints on stderr": "echo welcome >&2\n",
    "sets options": "set -e\nset -u\n",
    "traps its exit": "trap 'echo bye' EXIT\n",
    "goes elsewhere": "cd /\n",
    "asks for a terminal": "stty -echo\ntput clear\nmesg n\nbind '\"\\e[A\": history-search'\n",
    "names python anew": "alias python3=false\nalias exec=echo\n",
    "opens few files": "ulimit -n 64\n",
    "lets everyone write": "umask 000\n",
    "lets no one read": "umask 077\n",
    "speaks another language": "export LC_ALL=C\nexport LANGUAGE=de\n",
    "leads Python elsewhere": "export PYTHONPATH=$HOME PYTHONHOME=/nowhere PYTHONSTARTUP=x\n",
    "has no folder for temporary files": "export TMPDIR=/nowhere TMP=/nowhere\n",
    "has no home": "unset HOME USER LOGNAME\n",
    "leads home nowhere": "export HOME=/nowhere\n",
}


@pytest.mark.parametrize("start_up", WORKS.values(), ids=WORKS)
def test_start_up_files_do_not_stop_the_agent(
    log_in: Callable[..., LoggedIn], start_up: str
) -> None:
    logged_in = log_in(start_up=start_up)
    agent = logged_in.agent()
    assert agent.request("state")["state"] == "INIT"
    agent.upload(str(logged_in.pod / "file"), __file__)
    assert (logged_in.pod / "file").read_bytes() == Path(__file__).read_bytes()


NOISY = {
    "zsh": TITLE,
    "fish": TITLE,
    "tcsh": "echo -n hello\n",
    "csh": "echo -n hello\n",
}


@pytest.mark.parametrize("shell", NOISY)
def test_start_up_files_of_other_shells_may_print_too(
    log_in: Callable[..., LoggedIn], shell: str
) -> None:
    assert log_in(shell=shell, start_up=NOISY[shell]).agent().request("state")["state"] == "INIT"


MODULES = ("hashlib", "os", "json", "sitecustomize", "usercustomize", "pytest_wf")


def test_modules_in_the_home_directory_do_not_stop_the_agent(
    log_in: Callable[..., LoggedIn],
) -> None:
    logged_in = log_in(environment={"PYTHONPATH": "."})
    for name in MODULES:
        (logged_in.login.home / f"{name}.py").write_text("raise SystemExit('stopped')\n")
    assert logged_in.agent().request("state")["state"] == "INIT"


REFUSED = {
    "exits": ("exit 3\n", "exit status 3"),
    "asks a question": ("echo 'Press enter'; read answer\n", "Press enter"),
    "becomes another shell": ("echo loading; exec cat\n", "loading"),
    "becomes tmux": ("exec tmux\n", "terminal"),
    "has no python": ("PATH=/nowhere\n", "python3"),
    "prints without end": ("yes welcome\n", "without end .*welcome"),
}


@pytest.mark.parametrize(("start_up", "words"), REFUSED.values(), ids=REFUSED)
def test_a_login_that_starts_no_agent_is_refused_in_its_own_words(
    log_in: Callable[..., LoggedIn], monkeypatch: pytest.MonkeyPatch, start_up: str, words: str
) -> None:
    monkeypatch.setattr(launch, "_SILENCE_S", 2.0)
    with pytest.raises(OperationFailed, match=words):
        raise log_in(start_up=start_up).refusal()
