"""Real login shells of an old and a current Debian, and what their start-up files do.

Each login reaches P40, or is refused in P30 with the host's own words.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc import launch
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values, made_ready
from tests.support.debian import SHELLS, Account, DebianHost
from tests.support.repository import Upstream

if TYPE_CHECKING:
    from pytest_wf.pods.ssh.connection import SshConnection
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

# the first test of a release waits for its packages
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

#: What each shell reads before every command; dash reads nothing.
FILES = {
    "bash": ".bashrc",
    "zsh": ".zshenv",
    "fish": ".config/fish/config.fish",
    "tcsh": ".tcshrc",
}


@pytest.fixture
def connect(client: Client) -> Iterator[Callable[[Account], SshConnection]]:
    """Connects as an account."""
    made: list[SshConnection] = []

    def to(account: Account) -> SshConnection:
        made.append(client.of(cast("Sshd", account)).connect())
        return made[-1]

    yield to
    for connection in made:
        connection.close()


def bootstrapped(connection: SshConnection, account: Account) -> AgentClient:
    """The agent of a pod that has passed P40, with outputs in the account's home."""
    home = Path(account.home)
    values = {**config_values(home / "outputs", home), "REMOTE_PYTHON_BIN": "python3"}
    agent = made_ready(AgentClient(connection, values))
    assert agent.request("bootstrap")["missing_optional"] == []
    return agent


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_arrives_byte_for_byte(
    host: DebianHost, connect: Callable[[Account], SshConnection], shell: str
) -> None:
    odd = ["", "a b", "'", '"', "\\", "$HOME", "`id`", "!x", "~", "*", "=", "%s", "a\nb", "é"]
    show = "import sys\nprint(ascii(sys.argv[1:]))"
    argv = ["python3", "-I", "-c", show, *odd, "a" * 3000]
    done = connect(host.account(shell)).run(argv, timeout_s=30)
    assert done.stdout.strip() == ascii([*odd, "a" * 3000]), done.stderr


SH, FISH, TCSH = 0, 1, 2
LANGUAGE = {"bash": SH, "zsh": SH, "fish": FISH, "tcsh": TCSH}
TITLE = r"printf '\033]0;gpu1\007'"

#: Variables that redirect shells, Python, git and other tools.
STEERING = {
    "BASH_ENV": "/nowhere",
    "CDPATH": "/",
    "GIT_DIR": "/nowhere",
    "GREP_OPTIONS": "-v",
    "LD_PRELOAD": "/nowhere.so",
    "POSIXLY_CORRECT": "1",
    "PS_FORMAT": "pid",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "RSYNC_RSH": "false",
    "TAR_OPTIONS": "--no-such-option",
    "TMUX": "/nowhere,1,0",
    "TZ": "Asia/Kathmandu",
}
#: What start-up files do: in bash and zsh, in fish, in tcsh; '' where there is no such thing.
WORKS = {
    "prints a title": (TITLE,) * 3,
    "prints much": ("seq 1 20000", "seq 1 20000", "seq 1 20000"),
    "prints on stderr": ("echo hello >&2", "echo hello >&2", "sh -c 'echo hello >&2'"),
    "reads its input for a moment": ("timeout 0.2 cat", "timeout 0.2 cat", "timeout 0.2 cat"),
    "sets options": ("set -euf", "", "set noglob noclobber"),
    "goes elsewhere": ("cd /", "cd /", "cd /"),
    "names programs anew": (
        "alias python3=false tmux=false git=false\npython3() { false; }",
        "alias python3 false; alias tmux false; alias git false",
        "alias python3 false; alias tmux false; alias git false",
    ),
    "puts another python in front": (
        "export PATH=$HOME/base:$PATH",
        "set -gx PATH $HOME/base $PATH",
        "setenv PATH ${HOME}/base:$PATH",
    ),
    "leads Python elsewhere": (
        "export PYTHONPATH=$HOME PYTHONHOME=/nowhere PYTHONSTARTUP=x",
        "set -gx PYTHONPATH $HOME; set -gx PYTHONHOME /nowhere",
        "setenv PYTHONPATH $HOME; setenv PYTHONHOME /nowhere",
    ),
    "has no place for temporary files": (
        "export TMPDIR=/nowhere TMUX_TMPDIR=/nowhere",
        "set -gx TMPDIR /nowhere; set -gx TMUX_TMPDIR /nowhere",
        "setenv TMPDIR /nowhere; setenv TMUX_TMPDIR /nowhere",
    ),
    "speaks a language that is not there": (
        "export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8",
        "set -gx LC_ALL de_DE.UTF-8",
        "setenv LC_ALL de_DE.UTF-8",
    ),
    "has no home": ("unset HOME USER LOGNAME", "set -e HOME; set -e USER", "unsetenv HOME"),
    "lets everyone write": ("umask 000", "umask 000", "umask 000"),
    "lets no one read": ("umask 077", "umask 077", "umask 077"),
    "opens few files": ("ulimit -n 64", "ulimit -n 64", "limit descriptors 64"),
    "asks for a terminal": ("stty -echo; tput clear; mesg n",) * 3,
    "goes where nothing is": ("mkdir x; cd x; rmdir ../x",) * 3,
    "writes through other programs": ("exec 2>&1 > >(cat)", "", ""),
    "prints each command": ("set -xv", "set -g fish_trace 1", "set echo verbose"),
    "prints before each command": ("trap 'echo next' DEBUG", "", ""),
    "ignores signals": ("trap '' CHLD HUP INT QUIT TERM", "", "onintr -"),
    "limits memory": ("ulimit -v 1000000", "ulimit -v 1000000", "limit vmemoryuse 1000000"),
    "steers tools": tuple(
        "\n".join(form.format(name, value) for name, value in STEERING.items())
        for form in ("export {}='{}'", "set -gx {} '{}'", "setenv {} '{}'")
    ),
    "leaves a process behind": ("sleep 30 &", "sleep 30 &", "sleep 30 &"),
    "prints at its end": (
        "trap 'echo bye' EXIT",
        "function bye --on-event fish_exit; echo bye; end",
        "",
    ),
    "becomes another shell on a terminal": (
        "tty -s && exec fish || true",
        "tty -s; and exec zsh",
        "tty -s && exec fish",
    ),
    "ends without a terminal": (
        "case $- in *i*) ;; *) return;; esac",
        "if status is-interactive; echo hello; end",
        "if (! $?prompt) exit",
    ),
}
CASES = [
    pytest.param(shell, name, id=f"{shell}-{name}")
    for shell, language in LANGUAGE.items()
    for name, texts in WORKS.items()
    if texts[language]
]
#: A python3 that prints first, as those of version managers may, and modules that stop Python.
IN_HOME = {
    "base/python3": '#!/bin/sh\necho base\nexec /usr/bin/python3 "$@"\n',
    "hashlib.py": "raise SystemExit('stopped')\n",
    "sitecustomize.py": "raise SystemExit('stopped')\n",
}


@pytest.mark.parametrize(("shell", "name"), CASES)
def test_start_up_files_do_not_keep_a_pod_from_p40(
    host: DebianHost, connect: Callable[[Account], SshConnection], shell: str, name: str
) -> None:
    account = host.account(shell)
    start_up = f"touch $HOME/was-read\n{WORKS[name][LANGUAGE[shell]]}\n"
    account.write({FILES[shell]: start_up, **IN_HOME})
    agent = bootstrapped(connect(account), account)
    assert agent.request("state")["state"] == "BOOTSTRAPPED"
    agent.upload(f"{account.home}/file", __file__)
    assert (account.home_here / "file").read_bytes() == Path(__file__).read_bytes()
    assert (account.home_here / "was-read").exists()
    made = [path for path in account.home_here.rglob("*") if not path.is_symlink()]
    assert [path for path in made if path.stat().st_mode & 0o002] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_what_sshd_itself_reads_does_not_keep_a_pod_from_p40(
    host: DebianHost, connect: Callable[[Account], SshConnection], shell: str
) -> None:
    account = host.account(shell)
    exported = f"PYTHONPATH={account.home}\nPYTHONHOME=/nowhere\nTMPDIR=/nowhere\n"
    rc = f"{TITLE}\necho hello >&2\ntimeout 0.2 cat\n"
    account.write({".ssh/rc": rc, ".pam_environment": exported, **IN_HOME})
    assert bootstrapped(connect(account), account).request("state")["state"] == "BOOTSTRAPPED"


REFUSED = {
    "exits": ("exit 3", "sh -c 'kill $PPID'", "sh -c 'kill $PPID'", "ended before the agent"),
    "asks a question": ("echo Who; read a", "echo Who; cat", "echo Who; set a = $<", "Who"),
    "becomes another shell": ("exec dash", "exec dash", "exec dash", "started no python3"),
    "becomes tmux": ("exec tmux", "exec tmux", "exec tmux", "terminal"),
    "has no python": ("PATH=/nowhere", "set -gx PATH /nowhere", "setenv PATH /nowhere", "python3"),
    "prints without end": ("yes hello", "yes hello", "yes hello", "without end .*hello"),
}
REFUSED_CASES = [
    pytest.param(shell, texts[language], texts[-1], id=f"{shell}-{name}")
    for shell, language in LANGUAGE.items()
    for name, texts in REFUSED.items()
    if texts[language]
]


@pytest.mark.parametrize(("shell", "start_up", "words"), REFUSED_CASES)
def test_a_login_that_starts_no_agent_is_refused_in_its_own_words(
    host: DebianHost,
    connect: Callable[[Account], SshConnection],
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
    start_up: str,
    words: str,
) -> None:
    monkeypatch.setattr(launch, "_SILENCE_S", 2.0)
    account = host.account(shell)
    account.write({FILES[shell]: start_up + "\n"})
    with pytest.raises(OperationFailed, match=words) as refused:
        bootstrapped(connect(account), account)
    assert refused.value.kind == "not-a-pod"
    assert refused.value.message.isprintable()


def test_its_git_trusts_the_repository_of_another_user(
    host: DebianHost, connect: Callable[[Account], SshConnection]
) -> None:
    account = host.account("root")
    upstream = Upstream(account.home_here / "repository")
    head = upstream.head
    subprocess.run(["chown", "-R", "54321", str(upstream.path)], check=True)
    connection = connect(account)
    agent = bootstrapped(connection, account)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pytest_wf.agent.setup.git import Repository\n"
        "from pytest_wf.agent.setup.logged_step import StepLog\n"
        "print(Repository(sys.argv[2], StepLog('/dev/null')).head())\n"
    )
    there = f"{account.home}/{upstream.path.relative_to(account.home_here)}"
    argv = ["python3", "-I", "-c", program, agent.agent_path, there]
    assert connection.run(argv, timeout_s=60).stdout.strip() == head
