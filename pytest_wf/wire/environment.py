"""The environments of the processes that both sides start, made from this process's own.

A variable that was set for something else, such as by a git hook that runs pytest, must not change
what our tools do: `of_tool`, `of_git`. The user's own commands on the pod get the login's
environment, without variables that would change how their shell or Python starts: `of_command`.
"""

import os
from typing import Dict, Mapping, Optional

#: Variables that affect a shell that runs a script.
_SHELL = frozenset("BASHOPTS BASH_ENV CDPATH ENV GLOBIGNORE IFS POSIXLY_CORRECT SHELLOPTS".split())
_SHELL_PREFIX = "BASH_FUNC_"
#: Variables that redirect Python, or what pip and uv install.
_PYTHON = frozenset(
    "PIP_DRY_RUN PIP_PREFIX PIP_PYTHON PIP_ROOT PIP_TARGET PIP_USER PYTHONHOME UV_PROJECT "
    "UV_PROJECT_ENVIRONMENT UV_PYTHON UV_SYSTEM_PYTHON UV_WORKING_DIR UV_WORKING_DIRECTORY".split()
)

#: Variables that change what a tool does, to whom, or in which language it answers.
_STEERING = frozenset("COLUMNS GREP_OPTIONS LANGUAGE PS_FORMAT TAR_OPTIONS TMUX TMUX_PANE".split())
_STEERING_PREFIXES = ("DYLD_", "GIT_", "LC_", "LD_", "PERL5", "PYTHON", "RSYNC_", "SSH_")
#: Exceptions: the ssh agent, where libraries of this machine are, and which CA git trusts.
_KEPT = frozenset("GIT_SSL_CAINFO LD_LIBRARY_PATH SSH_AUTH_SOCK".split())

#: Variables by which git finds a repository (`git rev-parse --local-env-vars`).
_REPOSITORY = frozenset(
    "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_CONFIG GIT_CONFIG_COUNT "
    "GIT_CONFIG_PARAMETERS GIT_DIR GIT_GRAFT_FILE GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE "
    "GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE GIT_NO_REPLACE_OBJECTS GIT_OBJECT_DIRECTORY "
    "GIT_PREFIX GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_WORK_TREE".split()
)


def of_tool(
    extra: Optional[Mapping[str, str]] = None, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, str]:
    """The environment of a tool that we run; `extra` is set last. It answers in English."""
    env = {name: value for name, value in _own(environ).items() if not _steers(name)}
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


def of_git(
    extra: Optional[Mapping[str, str]] = None, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, str]:
    """As `of_tool`, for a git that never prompts, takes no optional lock and fetches no LFS."""
    ours = {
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=15",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    return of_tool({**ours, **(extra or {})}, environ)


def of_command(
    extra: Optional[Mapping[str, str]] = None, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, str]:
    """The environment of a user's command on the pod; `extra` is set last."""
    env = {
        name: value
        for name, value in _own(environ).items()
        if not _steers_shell(name) and name not in _REPOSITORY and name not in _PYTHON
    }
    env.update(extra or {})
    return env


def _own(environ: Optional[Mapping[str, str]]) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _steers_shell(name: str) -> bool:
    return name in _SHELL or name.startswith(_SHELL_PREFIX)


def _steers(name: str) -> bool:
    if name in _KEPT:
        return False
    return name in _STEERING or name.startswith(_STEERING_PREFIXES) or _steers_shell(name)
