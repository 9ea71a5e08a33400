"""Resolves an ssh destination to an address with `~/.ssh/config`.

Supported: Host and Match (all, host, originalhost), Include, HostName, Port, User,
IdentityFile, ProxyJump, HostKeyAlias. As in OpenSSH the first value wins. A Match block with
another criterion is skipped: nothing is executed and no name is looked up here, which is why
`ssh -G` is not used (docs/explanation/architecture.md). A ProxyCommand is refused on connecting.
StrictHostKeyChecking and UserKnownHostsFile are ignored.
"""

from __future__ import annotations

import fnmatch
import glob
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_wf.wire import user as this_user

_HOST = re.compile(r"[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+\\-]*\$?")
_MAX_JUMPS = 8
_MAX_INCLUDES = 16


class BadDestination(ValueError):
    """A destination, or a value of the ssh config, that cannot be connected to."""


@dataclass(frozen=True)
class Address:
    """The destination of a connection, and what it authenticates with."""

    user: str
    host: str
    port: int = 22
    #: Another name under which the host's key is known (HostKeyAlias, a rented pod's id).
    key_alias: str = ""
    #: IdentityFile entries of the ssh config, in order.
    identity_files: tuple[str, ...] = ()
    #: Hosts to go through, the first one first.
    jumps: tuple[Address, ...] = ()
    #: What the ssh config would run instead of a TCP connection; not supported.
    proxy_command: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.place}"

    @property
    def place(self) -> str:
        """`host:port`, with brackets round an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class SshConfig:
    """`~/.ssh/config` below `home` (HOME if it is not given)."""

    def __init__(self, home: str | None = None) -> None:
        self.home = home or this_user.home()
        self.folder = Path(self.home) / ".ssh"

    def address(self, destination: str) -> Address:
        """Resolve an alias, `user@host:port` or `ssh://…`; contacts nothing.

        Raises BadDestination, and OSError if the config cannot be read.
        """
        return self._address(destination, through_jumps=True, seen=())

    def _address(self, destination: str, through_jumps: bool, seen: tuple[str, ...]) -> Address:
        user, alias, port = _split(destination)
        if alias in seen or len(seen) >= _MAX_JUMPS:
            raise BadDestination(f"ProxyJump goes in a circle: {' -> '.join([*seen, alias])}")
        options = self._options(alias)
        first = {name: values[0] for name, values in options.items()}
        host = first.get("hostname", alias).replace("%h", alias).replace("%%", "%")
        user = user or first.get("user") or this_user.name()
        port = port or _port(first.get("port", "22"))
        if not _HOST.fullmatch(host) or not _USER.fullmatch(user):
            raise BadDestination(f"{user}@{host} is not a user and a host name")
        tokens = {"%": "%", "d": self.home, "h": host, "n": alias, "p": str(port), "r": user}
        tokens["u"] = this_user.name()
        files = [f for f in options.get("identityfile", []) if f != "none"]
        jumps = _unless_none(first.get("proxyjump", "")) if through_jumps else ""
        return Address(
            user,
            host,
            port,
            key_alias=first.get("hostkeyalias", "").lower(),
            identity_files=tuple(self._path(file, tokens) for file in files),
            jumps=self._jumps(jumps, (*seen, alias)),
            proxy_command=_unless_none(first.get("proxycommand", "")),
        )

    def _jumps(self, written: str, seen: tuple[str, ...]) -> tuple[Address, ...]:
        # as OpenSSH does it: only the first host of a chain is reached by its own ProxyJump
        jumps: tuple[Address, ...] = ()
        for destination in written.split(",") if written else []:
            if _split(destination.strip())[1] == seen[-1]:
                continue  # `Host *` with a ProxyJump also applies to the jump host itself
            jump = self._address(destination.strip(), through_jumps=not jumps, seen=seen)
            jumps = (*jumps, *jump.jumps, replace(jump, jumps=()))
        return jumps

    def _path(self, written: str, tokens: Mapping[str, str]) -> str:
        """A path of the config: absolute, below `~`, or relative to `~/.ssh`."""
        path = re.sub("%(.)", lambda m: tokens.get(m[1], m[0]), written)
        return str(self.folder / re.sub(r"^~(?=/|$)", lambda m: self.home, path))

    def _options(self, alias: str) -> dict[str, list[str]]:
        options: dict[str, list[str]] = {}
        for key, value in self._lines(self.folder / "config", alias, options, 0):
            if key == "identityfile":
                options.setdefault(key, []).append(value)
            elif key in ("proxyjump", "proxycommand"):
                if not {"proxyjump", "proxycommand"} & options.keys():
                    options[key] = [value]
            else:
                options.setdefault(key, [value])
        return options

    def _lines(
        self, path: Path, alias: str, options: dict[str, list[str]], depth: int
    ) -> Iterator[tuple[str, str]]:
        """The key and value of every line that applies to `alias`.

        `options` are those that the caller has found so far: `Match host` looks at HostName.
        """
        try:
            lines = path.read_text("utf-8-sig", "surrogateescape").splitlines()
        except FileNotFoundError:
            return
        applies = True
        for number, line in enumerate(lines, 1):
            key, words = _parsed(line, f"{path}:{number}")
            if not words:
                continue
            if key == "host":
                applies = _any_pattern(words, alias)
            elif key == "match":
                host = options.get("hostname", ["%h"])[0].replace("%h", alias)
                applies = _criteria_match(words, alias, host)
            elif applies and key == "include":
                if depth >= _MAX_INCLUDES:
                    raise BadDestination(f"{path}:{number}: Include goes in a circle")
                for pattern in words:
                    for included in sorted(glob.glob(self._path(pattern, {}))):
                        yield from self._lines(Path(included), alias, options, depth + 1)
            elif applies:
                yield key, words[0]


def _parsed(line: str, place: str) -> tuple[str, list[str]]:
    """A line's key in lower case and its words, none for an empty line or a comment."""
    match = re.fullmatch(r"\s*([A-Za-z]\w*)(?:\s*=\s*|\s+)(.*?)\s*", line)
    if not match:
        return "", []
    key, rest = match[1].lower(), match[2]
    try:
        return key, [rest] if key == "proxycommand" else shlex.split(rest, comments=True)
    except ValueError as e:
        raise BadDestination(f"{place}: {key}: {e}") from None


def _split(destination: str) -> tuple[str, str, int | None]:
    """User, host and port as written; '' and None if they are missing."""
    text = destination[6:] if destination.startswith("ssh://") else destination
    user, _, place = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", place)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif place.count(":") == 1:
        host, port = place.split(":")
    else:
        host, port = place, None
    if not _HOST.fullmatch(host) or ("@" in text and not _USER.fullmatch(user)):
        raise BadDestination(f"{destination!r} is not an alias, user@host or user@host:port")
    return user, host, None if port is None else _port(port)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise BadDestination(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _unless_none(value: str) -> str:
    return "" if value.lower() == "none" else value


def _any_pattern(patterns: list[str], alias: str) -> bool:
    name = alias.lower()
    if any(p.startswith("!") and fnmatch.fnmatchcase(name, p[1:].lower()) for p in patterns):
        return False
    return any(fnmatch.fnmatchcase(name, p.lower()) for p in patterns if not p.startswith("!"))


def _criteria_match(words: list[str], alias: str, host: str) -> bool:
    rest = list(words)
    while rest:
        criterion = rest.pop(0).lower()
        if criterion == "all":
            continue
        if criterion not in ("host", "originalhost") or not rest:
            return False
        name = alias if criterion == "originalhost" else host
        if not _any_pattern(rest.pop(0).split(","), name):
            return False
    return True
