"""Logins of other users: another shell, start-up files and a home of their own, over real SSH.

The server's ForceCommand starts the shell as sshd would: no user is made on this machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.rpc.client import AgentClient
from tests.support.agent_pod import config_values

if TYPE_CHECKING:
    from tests.pods.conftest import Client
    from tests.support.sshd import Sshd

#: Each login shell: its command line, and the file that it reads before every command.
SHELLS = {
    "bash": (["bash"], ".bashrc"),
    "dash": (["dash"], ""),
    "zsh": (["zsh"], ".zshenv"),
    "fish": (["fish"], ".config/fish/config.fish"),
    "tcsh": (["tcsh"], ".tcshrc"),
    "csh": (["csh"], ".cshrc"),
    "bsd-csh": (["bsd-csh"], ".cshrc"),
    "mksh": (["mksh"], ""),
    "ksh93": (["ksh93"], ""),
    "busybox": (["busybox", "sh"], ""),
    "yash": (["yash"], ""),
    "rc": (["rc"], ""),
    "elvish": (["elvish"], ""),
}

_LOGIN = """\
#!/bin/sh
# what sshd does: the environment of a login, then the shell with the command
cd {home} 2>/dev/null || cd /
exec env -i {environment} SSH_CLIENT="$SSH_CLIENT" SSH_CONNECTION="$SSH_CONNECTION" \\
    {shell} -c "$SSH_ORIGINAL_COMMAND"
"""


class Login:
    """A login on a real SSH server of its own."""

    def __init__(
        self,
        folder: Path,
        make_sshd: Callable[..., Sshd],
        shell: str = "bash",
        start_up: str = "",
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        argv, file = SHELLS[shell]
        program = shutil.which(argv[0])
        if program is None:
            pytest.skip(f"{argv[0]} is not installed")
        self.home = folder / "login"
        self.home.mkdir(parents=True)
        if start_up:
            (self.home / file).parent.mkdir(parents=True, exist_ok=True)
            (self.home / file).write_text(start_up)
        values: dict[str, str | None] = {
            "HOME": str(self.home),
            "USER": "ada",
            "LOGNAME": "ada",
            "SHELL": program,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **(environment or {}),
        }
        script = folder / "login.sh"
        script.write_text(
            _LOGIN.format(
                home=self.home,
                environment=" ".join(f"'{n}={v}'" for n, v in values.items() if v is not None),
                shell=" ".join([program, *argv[1:]]),
            )
        )
        script.chmod(0o755)
        self.server = make_sshd(f"ForceCommand {script}")


class LoggedIn:
    """The agent, or what came instead of it, behind one login."""

    def __init__(self, client: Client, pod: Path, login: Login | None = None) -> None:
        self._login = login
        self.pod = pod
        self.connection = client.connect()

    @property
    def home(self) -> Path:
        """The login's home."""
        assert self._login is not None
        return self._login.home

    def agent(self) -> AgentClient:
        """The agent, started."""
        return AgentClient(self.connection, config_values(self.pod / "outputs", self.pod))

    def refusal(self) -> OperationFailed:
        """Why there is no agent."""
        with pytest.raises(OperationFailed) as refused:
            self.agent()
        assert refused.value.kind == "not-a-pod"
        return refused.value
