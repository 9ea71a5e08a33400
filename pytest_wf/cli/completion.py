"""Scripts for completion of `wf` command lines in bash, zsh and fish.

The script contains the commands and their options. Ids come from `pytest_wf.cli.local_ids`,
which the script starts with the Python that wrote it: the `wf` command itself is too slow for a
key press. That Python runs isolated, as the working directory may contain a ``csv.py`` of its own.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_wf.cli import local_ids
from pytest_wf.cli.catalogue import CATALOGUE, FLOWS, RUNS, STATES, TASKS
from pytest_wf.project.flow_options import FLOW_OPTIONS
from pytest_wf.wire import fsm

_LOCAL = (RUNS, TASKS, FLOWS)
_PROGRAM = (sys.executable, "-I", local_ids.__file__)

_BASH = """\
# Completion of wf, for bash and zsh. Written by `wf completion bash`.
_wf_ids() {{ {program} "$@" 2>/dev/null; }}
_wf() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {commands} -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
if [ -n "${{ZSH_VERSION-}}" ]; then
  autoload -U +X compinit bashcompinit && compinit -i && bashcompinit
fi
# if wf has no word to offer, the shell completes names of files, and quotes them
complete -o nosort -o default -F _wf wf 2>/dev/null || complete -o default -F _wf wf
"""
_BASH_CASE = """\
    {name})
      case "$current" in
        -*) words={options} ;;
        *) words={words}{ids} ;;
      esac ;;"""
_FISH = """\
# Completion of wf, for fish. Written by `wf completion fish`.
function __wf_ids
    {program} $argv 2>/dev/null
end
complete -c wf -e
complete -c wf -n __fish_use_subcommand -f -a {commands}
{lines}
"""


class Completed(NamedTuple):
    """What is completed after one command."""

    options: Sequence[str]
    #: Fixed words, and kinds of ids that are looked up.
    words: Sequence[str]
    ids: Sequence[str]


def script(shell: str, commands: Mapping[str, Any]) -> str:
    """The script for `shell`: 'bash', 'zsh' or 'fish'. `commands` are the `wf` commands."""
    known = {name: _completed(name, command) for name, command in sorted(commands.items())}
    return (_fish if shell == "fish" else _bash)(known)


def _completed(name: str, command: Any) -> Completed:
    options = [word for one in command.params for word in one.opts if word.startswith("--")]
    if name == "flow":
        options += [word for option in FLOW_OPTIONS for word in option.completions]
    kinds = CATALOGUE[name].words if name in CATALOGUE else ()
    words = [word for word in kinds if word not in (*_LOCAL, STATES)]
    words += fsm.STATES if STATES in kinds else []
    return Completed([*options, "--help"], words, [kind for kind in kinds if kind in _LOCAL])


def _bash(known: Mapping[str, Completed]) -> str:
    cases = [
        _BASH_CASE.format(
            name=name,
            options=shlex.quote(" ".join(found.options)),
            words=shlex.quote(" ".join(found.words)),
            ids=f'"$(_wf_ids {" ".join(found.ids)})"' if found.ids else "",
        )
        for name, found in known.items()
    ]
    return _BASH.format(
        program=" ".join(map(shlex.quote, _PROGRAM)),
        commands=shlex.quote(" ".join([*known, "--help", "--version"])),
        cases="\n".join(cases),
    )


def _fish(known: Mapping[str, Completed]) -> str:
    lines = []
    for name, found in known.items():
        begin = f"complete -c wf -n '__fish_seen_subcommand_from {name}'"
        lines.append(f"{begin} -a {_fish_quoted(' '.join(found.options))}")
        if found.words:
            lines.append(f"{begin} -f -a {_fish_quoted(' '.join(found.words))}")
        if found.ids:
            lines.append(f"{begin} -a '(__wf_ids {' '.join(found.ids)})'")
    return _FISH.format(
        program=" ".join(map(_fish_quoted, _PROGRAM)),
        commands=_fish_quoted(" ".join([*known, "--help", "--version"])),
        lines="\n".join(lines),
    )


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
