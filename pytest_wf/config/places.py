"""Folders that no project may write to: those of an operating system, and homes."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from pytest_wf.wire.ownership import is_within

#: These and everything below them are refused, except for `_ALLOWED`.
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/sbin",
    "/Library",
    "/System",
    "/private/etc",
)
_ALLOWED = ("/dev/shm",)  # noqa: S108 - a disk in memory, where rows may train
#: These are refused; folders below them are allowed.
_SHARED = (
    "/",
    "/dev/shm",  # noqa: S108
    "/home",
    "/root",
    "/run",
    "/tmp",  # noqa: S108
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/tmp",  # noqa: S108
    "/Users",
)


def why_unfit(path: str) -> str:
    """Why nothing may be written to the absolute `path`; '' if a project may use it."""
    plain = "/" + posixpath.normpath(path).lstrip("/")
    if plain == "/":
        return "the root of the file system"
    if plain in _SHARED:
        return "a folder that everything shares"
    if _is_in_one(plain, _SYSTEM) and not _is_in_one(plain, _ALLOWED):
        return "a folder of the operating system"
    if posixpath.dirname(plain) in ("/home", "/Users"):
        return "a user's home itself"
    return ""


def _is_in_one(path: str, folders: Iterable[str]) -> bool:
    return any(is_within(path, folder) for folder in folders)
