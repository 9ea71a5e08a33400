"""What of its caller's environment a process that we start gets."""

from __future__ import annotations

import subprocess

import pytest

from pytest_wf.wire import environment

STEERING = {
    "GIT_DIR": "/other/.git",
    "GIT_WORK_TREE": "/other",
    "GIT_INDEX_FILE": "/other/index",
    "GIT_CONFIG_GLOBAL": "/other/gitconfig",
    "GIT_CONFIG_COUNT": "1",
    "GIT_TRACE": "1",
    "GIT_ANYTHING_NEW": "x",
    "SSH_ASKPASS": "/bin/asks",
    "SSH_CONNECTION": "x",
    "PYTHONPATH": "/other",
    "PYTHONHOME": "/other",
    "RSYNC_RSH": "rsh",
    "TAR_OPTIONS": "--one-top-level",
    "GREP_OPTIONS": "-v",
    "LD_PRELOAD": "/other.so",
    "BASH_ENV": "/other.sh",
    "ENV": "/other.sh",
    "CDPATH": "/other",
    "SHELLOPTS": "noexec",
    "BASH_FUNC_git%%": "() { echo mine; }",
    "LC_ALL": "de_DE.UTF-8",
    "LANGUAGE": "de",
    "TMUX": "/tmp/socket,1,0",
}
KEPT = {
    "PATH": "/bin",
    "HOME": "/home/ada",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "SSL_CERT_FILE": "/ca.pem",
    "GIT_SSL_CAINFO": "/ca.pem",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "LD_LIBRARY_PATH": "/opt/lib",
}


def test_a_tool_gets_nothing_by_which_a_caller_would_change_what_it_does() -> None:
    env = environment.of_tool(environ={**STEERING, **KEPT})

    assert env == {**KEPT, "LC_ALL": "C.UTF-8"}


def test_git_gets_no_git_variable_but_ours() -> None:
    env = environment.of_git({"GIT_CONFIG_COUNT": "2"}, environ={**STEERING, **KEPT})

    assert {name for name in env if name.startswith("GIT_")} == {
        *("GIT_SSL_CAINFO", "GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "GIT_TERMINAL_PROMPT"),
        *("GIT_ASKPASS", "GIT_LFS_SKIP_SMUDGE", "GIT_OPTIONAL_LOCKS"),
    }
    assert env["GIT_CONFIG_COUNT"] == "2"


def test_every_variable_by_which_git_finds_a_repository_is_left_out() -> None:
    named = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], check=True, capture_output=True, text=True
    ).stdout.split()
    environ = dict.fromkeys(named, "x")

    assert environment.of_command(environ=environ) == {}
    assert not set(named) & set(environment.of_tool(environ=environ))


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "NCCL_DEBUG", "PIP_INDEX_URL"])
def test_a_users_command_gets_what_its_login_has(name: str) -> None:
    assert environment.of_command(environ={name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name", ["BASH_ENV", "ENV", "CDPATH", "BASH_FUNC_cd%%", "PYTHONHOME", "PIP_TARGET"]
)
def test_a_users_command_gets_nothing_that_changes_how_its_shell_or_python_starts(
    name: str,
) -> None:
    assert environment.of_command({"A": "1"}, environ={name: "x"}) == {"A": "1"}
