"""Whole flows on an old and a current Debian, through noisy start-up files of each login shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.debian import SHELLS, Account, DebianHost

# the first test of a release waits for its packages
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

ALL = ("--wf-wait=true", "--wf-fetch=all")

#: A title, another python in front, another folder, names anew.
_SH = """\
printf '\\033]0;gpu1\\007'
timeout 0.1 cat
export PATH=$HOME/base:$PATH PYTHONPATH=$HOME/modules PYTHONHOME=/nowhere TMOUT=1
alias python3=false tmux=false git=false ls='ls --color'
umask 027
cd /
set -e
sleep 300 &
"""
_FISH = """\
printf '\\033]0;gpu1\\007'
timeout 0.1 cat
set -gx PATH $HOME/base $PATH
set -gx PYTHONPATH $HOME/modules
set -gx PYTHONHOME /nowhere
alias python3 false; alias tmux false; alias git false
umask 027
cd /
sleep 300 &
"""
_TCSH = """\
printf '\\033]0;gpu1\\007'
timeout 0.1 cat
setenv PATH ${HOME}/base:$PATH
setenv PYTHONPATH $HOME/modules
setenv PYTHONHOME /nowhere
alias python3 false; alias tmux false; alias git false
umask 027
cd /
set echo noglob
sleep 300 &
"""
#: What other programs of the pod read at their start.
_OF_PROGRAMS = {
    "base/python3": '#!/bin/sh\necho base\nexec /usr/bin/python3 "$@"\n',
    ".ssh/rc": "echo hello\n",
    ".profile": "echo hello\nexec sleep 300\n",
    ".zprofile": "echo hello\nexec sleep 300\n",
    ".login": "echo hello\nexec sleep 300\n",
    ".tmux.conf": "set -g default-command 'exit 1'\nset -g base-index 1\nno-such-command\n",
    ".gitconfig": "[color]\n\tui = always\n[core]\n\tpager = false\n\tfsmonitor = true\n"
    "[init]\n\tdefaultBranch = trunk\n[commit]\n\tgpgSign = true\n",
}
START_UP = {
    "bash": {".bashrc": _SH, ".bash_profile": "echo hello\nexec sleep 300\n"},
    "dash": {},
    "zsh": {".zshenv": _SH},
    "fish": {".config/fish/config.fish": _FISH},
    "tcsh": {".tcshrc": _TCSH},
    "root": {".bashrc": _SH},
}


def through(project: Any, account: Account) -> Any:
    """`project`, on a pod in the home of `account`."""
    project.outputs = account.home_here / "outputs"
    project.configure(
        OPS_DEFAULT_HOST=f"{account.user}@{account.host}:{account.port}",
        SSH_IDENTITY_FILE=str(account.identity_file),
        SSH_KNOWN_HOSTS=str(account.known_hosts_file),
        OPS_REMOTE_REPO=f"{account.home}/repo",
        OPS_REMOTE_OUTPUTS_DIR=f"{account.home}/outputs",
        REMOTE_ENV_PATH=f"{account.home}/project.env",
    )
    return project


@pytest.mark.parametrize("user", [*SHELLS, "root"])
def test_a_flow_passes_through_noisy_start_up_files(
    host: DebianHost, new_project: Callable[..., Any], user: str
) -> None:
    account = host.account(user)
    account.write({**_OF_PROGRAMS, **START_UP[user]})
    remote = through(new_project(config={"CHECKOUT_INSTALL_CMD": "pip --version"}), account)
    flown = remote.flow(*ALL)
    assert flown.code == 0, flown.output
    assert (remote.root / "reports" / "runs" / "two" / "summary.json").exists()
    tools = flown.record("phase.P40.evidence")["facts"]["tools"]
    assert all(tools[name] for name in ("git", "tmux", "rsync")), tools
    (supervisor,) = remote.outputs.glob("_control/campaigns/*/supervisor.json")
    assert json.loads(supervisor.read_text())["tmux"], "the sweep has a window"
