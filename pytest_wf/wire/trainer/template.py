"""What a shell command refers to: its variables, and the word `launch`.

Commands are parsed and never run. Text in single quotes is left out, as a shell does not expand it.
"""

import re
from typing import FrozenSet, Iterator, Mapping, NamedTuple, Set, Tuple

from pytest_wf.wire.trainer.variables import NAMES

#: Variables that every bash has.
_SHELL_NAMES = frozenset(
    "BASH BASHPID BASH_VERSION EUID HOME HOSTNAME IFS LANG LINENO LOGNAME OLDPWD OSTYPE PATH "
    "PIPESTATUS PPID PWD RANDOM SECONDS SHELL TERM TMPDIR UID USER VIRTUAL_ENV".split()
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNED = re.compile(
    r"(?:^|[\s;&|({])(?:for\s+([A-Za-z_]\w*)\s+in\b|read\s+(?:-\w+\s+)*([A-Za-z_]\w*)"
    r"|([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=)"
)
_LAUNCH = re.compile(
    r"(?:^|[;&|({\n!]|\b(?:then|else|do|time)\s)\s*(?:[A-Za-z_]\w*=\S*\s+)*launch\s"
)


class Reference(NamedTuple):
    """One use of a variable."""

    name: str
    #: Whether the command handles a variable that is unset or empty, as `${NAME:-}` does.
    is_optional: bool


def references(command: str) -> Tuple[Reference, ...]:
    """The uses of variables in a shell command, in their order."""
    return tuple(_references(command, False))


def requires(settings: Mapping[str, str], name: str) -> bool:
    """Whether a row's command needs the variable `name`.

    Without a template the command needs all that pytest-wf gives.
    """
    template = settings["TRAIN_COMMAND_TEMPLATE"]
    return not template or Reference(name, is_optional=False) in references(template)


def uses_launcher(settings: Mapping[str, str]) -> bool:
    """Whether TRAIN_LAUNCHER has a part in a row's command."""
    template = settings["TRAIN_COMMAND_TEMPLATE"]
    return not template or _LAUNCH.search(template) is not None


def unknown(command: str, given: FrozenSet[str] = frozenset()) -> Tuple[str, ...]:
    """Variables that a command needs and that no row has; `given` are those of the user."""
    known: Set[str] = {*NAMES, *_SHELL_NAMES, *given}
    known.update(name for found in _ASSIGNED.findall(command) for name in found if name)
    needed = (name for name, is_optional in references(command) if not is_optional)
    return tuple(dict.fromkeys(name for name in needed if name not in known))


def _references(text: str, is_optional: bool) -> Iterator[Reference]:
    """The references in `text`; `is_optional` if it is the word of an expansion such as `:+`."""
    at, quoted = 0, False
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
        elif character == '"':
            quoted, at = not quoted, at + 1
        elif character == "'" and not quoted:
            closing = text.find("'", at + 1)
            at = closing + 1 if closing >= 0 else len(text)
        elif text.startswith("${", at):
            closing = _closing(text, at + 2)
            yield from _expansion(text[at + 2 : closing], is_optional)
            at = closing + 1
        elif character == "$":
            name = _NAME.match(text, at + 1)
            if name:
                yield Reference(name[0], is_optional)
            at = name.end() if name else at + 1
        else:
            at += 1


def _closing(text: str, at: int) -> int:
    """Where the brace that is open at `at` closes; the end of `text` if it does not."""
    depth = 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
            if not depth:
                return at
        at += 1
    return len(text)


def _expansion(inside: str, is_optional: bool) -> Iterator[Reference]:
    """The references in the text between `${` and `}`."""
    name = _NAME.match(inside, 1 if inside[:1] in "#!" else 0)
    if not name:
        return
    rest = inside[name.end() :]
    has_word = re.match(r":?[-=?+]", rest)
    yield Reference(name[0], is_optional or has_word is not None)
    yield from _references(rest, is_optional or has_word is not None)
