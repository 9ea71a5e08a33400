"""Logins as OpenSSH users have them: each works, or is refused with the host's own words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc import launch
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values, made_ready
from tests.support.logins import SHELLS, LoggedIn

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

ODD = ["", "a b", "'", '"', "\\", "\\n", "$HOME", "`id`", "!x", "~", "*", "=", "%s", "a\nb", "é"]


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
    "leaves a process behind": "sleep 30 &\n",
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


@pytest.mark.parametrize("umask", ["000", "077"])
def test_control_files_are_open_to_this_user_and_to_no_one_elses_writing(
    log_in: Callable[..., LoggedIn], umask: str
) -> None:
    logged_in = log_in(start_up=f"umask {umask}\n")
    made_ready(logged_in.agent())
    made = [path for path in logged_in.pod.rglob("*") if not path.is_symlink()]
    assert made
    assert [path for path in made if path.stat().st_mode & 0o002] == []
    assert [path for path in made if not path.stat().st_mode & 0o400] == []


def test_a_login_that_ignores_the_end_of_processes_hides_no_failure(
    log_in: Callable[..., LoggedIn],
) -> None:
    logged_in = log_in(start_up="trap '' CHLD\n")
    values = {
        **config_values(logged_in.pod / "outputs", logged_in.pod),
        "REMOTE_PYTHON_BIN": "false",
    }
    with pytest.raises(OperationFailed, match="missing on the pod: false"):
        made_ready(AgentClient(logged_in.connection, values)).request("bootstrap")


MODULES = ("hashlib", "os", "json", "sitecustomize", "usercustomize", "pytest_wf")


def test_modules_in_the_home_directory_do_not_stop_the_agent(
    log_in: Callable[..., LoggedIn],
) -> None:
    logged_in = log_in(environment={"PYTHONPATH": "."})
    for name in MODULES:
        (logged_in.home / f"{name}.py").write_text("raise SystemExit('stopped')\n")
    assert logged_in.agent().request("state")["state"] == "INIT"


#: What logins say that then wait for ever; the others end by themselves.
SILENT = ("Press enter", "typing")
REFUSED = {
    "exits": ("exit 3\n", "exit status 3"),
    "asks a question": ("echo 'Press enter'; read answer\n", "Press enter"),
    "stops at an error": ("echo loading\nset -e\nfalse\n", "loading"),
    "becomes another shell": ("echo typing; exec cat\n", "typing"),
    "becomes tmux": ("exec tmux\n", "terminal"),
    "has no python": ("PATH=/nowhere\n", "python3"),
    "prints without end": ("yes welcome\n", "without end .*welcome"),
    "takes all input": ("exec </dev/null\n", "no input"),
}


@pytest.mark.parametrize(("start_up", "words"), REFUSED.values(), ids=REFUSED)
def test_a_login_that_starts_no_agent_is_refused_in_its_own_words(
    log_in: Callable[..., LoggedIn], monkeypatch: pytest.MonkeyPatch, start_up: str, words: str
) -> None:
    if words in SILENT:
        wait = launch.LaunchedStream._next

        def wait_for_words(stream: Any, printed: bytes, end: float) -> bytes:
            # the silence is short once it has said something
            stream._silence_s = 0.5 if printed else 60.0
            return wait(stream, printed, end)

        monkeypatch.setattr(launch.LaunchedStream, "_next", wait_for_words)
    with pytest.raises(OperationFailed, match=words):
        raise log_in(start_up=start_up).refusal()


def test_an_agent_that_cannot_be_stored_is_told(log_in: Callable[..., LoggedIn]) -> None:
    with pytest.raises(OperationFailed, match=r"cannot be stored: .*File too large") as refused:
        log_in(start_up="ulimit -f 10\n").agent()
    assert refused.value.kind == "pod-disk"


FORCED = {
    "echo 'Error: Your SSH client does not support PTY'; exit 1": "does not support PTY",
    "/usr/sbin/nologin": "This account is currently not available",
    "echo 'Password change required but no TTY available.' >&2; exit 1": "Password change",
    "printf '\\033[2J\\033]0;owned\\007sftp only\\r\\n'; exit 0": "exit status 0.: sftp only",
    "internal-sftp": "This service allows sftp connections only.$",
}


@pytest.mark.parametrize(("command", "words"), FORCED.items(), ids=FORCED.values())
def test_a_host_that_forbids_commands_is_refused_in_its_own_words(
    client: Client,
    make_sshd: Callable[..., Sshd],
    tmp_path: Path,
    command: str,
    words: str,
) -> None:
    server = make_sshd(f"ForceCommand {command}")
    logged_in = LoggedIn(client.of(server), tmp_path / "pod")
    refusal = logged_in.refusal()
    assert re.search(words, refusal.message)
    assert refusal.message.isprintable()
    logged_in.connection.close()
