"""Hosts of other Debian releases: their sshd, login shells, Python, git and tmux, in a chroot."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_wf.loopback.sshd import free_port
from tests.support.waiting import until

RELEASES = ("bullseye", "trixie")
#: The users of a host by name, and their login shells; `root` has bash.
SHELLS = {
    "bash": "/bin/bash",
    "dash": "/bin/dash",
    "zsh": "/bin/zsh",
    "fish": "/usr/bin/fish",
    "tcsh": "/bin/tcsh",
}

_PACKAGES = "python3,python3-venv,git,openssh-server,tmux,rsync,procps,zsh,fish,tcsh"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pytest-wf")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

#: Starts the command after $2 in the release $1, whose homes and keys are in the folder $2; the
#: release itself is not changed. Ends with all that it started.
_INSIDE = """\
root=$1 folder=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$folder/home" "$root/home"
mount --bind "$folder/home/root" "$root/root"
mount --bind "$folder/keys" "$root/mnt"
for place in tmp run var/tmp; do mount -t tmpfs none "$root/$place"; done
mkdir "$root/run/sshd"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
_OWN_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def unpacked(release: str) -> Path:
    """The root of a release with its users: unpacked once into a cache.

    Skips the test where there is no root or debootstrap, or they may not make a chroot.
    """
    if os.geteuid() != 0:
        pytest.skip("only root makes a chroot")
    if shutil.which("debootstrap", path=_PATH) is None:
        pytest.skip("debootstrap is not installed")
    if subprocess.run([*_OWN_NAMESPACES, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets a test make no namespaces")
    kind = hashlib.sha256((_PACKAGES + str(SHELLS)).encode()).hexdigest()[:8]
    root = _CACHE / f"debian-{release}-{kind}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _unpack(release, root)
    return root


def _unpack(release: str, root: Path) -> None:
    fresh = root.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ("--variant=minbase", f"--include={_PACKAGES}")
    _run("debootstrap", *options, release, str(fresh))
    for name, shell in SHELLS.items():
        # sshd refuses a user whose password is locked
        _run("chroot", str(fresh), "useradd", "--shell", shell, "--password", "*", name)
    fresh.rename(root)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PATH": _PATH})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


class Account(NamedTuple):
    """A user of a host, with what a controller needs to log in."""

    host: str
    port: int
    user: str
    identity_file: Path
    known_hosts_file: Path
    #: The home directory there, and the same folder here.
    home: str
    home_here: Path

    def write(self, files: dict[str, str]) -> None:
        """Write files of the user's into the home."""
        owner = self.home_here.stat()
        for name, text in files.items():
            path = self.home_here / name
            for folder in reversed(path.relative_to(self.home_here).parents[:-1]):
                (self.home_here / folder).mkdir(exist_ok=True)
                os.chown(self.home_here / folder, owner.st_uid, owner.st_gid)
            path.write_text(text)
            path.chmod(0o755)
            os.chown(path, owner.st_uid, owner.st_gid)


class DebianHost:
    """A host of a release, with its own configuration of sshd, on a free port of 127.0.0.1."""

    address = "127.0.0.1"

    def __init__(self, release: str, folder: Path) -> None:
        self.folder = folder
        self.root = unpacked(release)
        self.port = free_port()
        self._keys = folder / "keys"
        for place in (self._keys, folder / "home", folder / "home" / "root"):
            place.mkdir()
            place.chmod(0o755)
        for name in ("id", "host_key"):
            path = str(self._keys / name)
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
        (self._keys / "id.pub").rename(self._keys / "authorized_keys")
        (self._keys / "authorized_keys").chmod(0o644)
        host_key = (self._keys / "host_key.pub").read_text()
        (self._keys / "known_hosts").write_text(f"[{self.address}]:{self.port} {host_key}")
        self._process = self._start()
        until(self._listens, f"sshd of {release} listens; its log:\n{self.log()}")

    def account(self, user: str) -> Account:
        """`user`, with the home that a new user has."""
        entry = next(
            line.split(":")
            for line in (self.root / "etc/passwd").read_text().splitlines()
            if line.startswith(f"{user}:")
        )
        here = self.folder / "home" / user
        here.mkdir(exist_ok=True)
        for path in here.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(self.root / "etc/skel", here, dirs_exist_ok=True)
        for path in (here, *here.rglob("*")):
            os.chown(path, int(entry[2]), int(entry[3]))
        identity, known = self._keys / "id", self._keys / "known_hosts"
        return Account(self.address, self.port, user, identity, known, entry[5], here)

    def log(self) -> str:
        """What the server said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def close(self) -> None:
        """End the host with all its processes."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "ListenAddress": self.address,
            "Port": self.port,
            "HostKey": "/mnt/host_key",
            "AuthorizedKeysFile": "/mnt/authorized_keys",
        }
        sshd = ["/usr/sbin/sshd", "-D", "-e"]
        sshd += [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        inside: Sequence[str] = ("sh", "-euc", _INSIDE, "sh", str(self.root), str(self.folder))
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*_OWN_NAMESPACES, *inside, *sshd],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # as a machine starts it: with nothing of this run's
                env={"PATH": _PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
            )

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log()
        with closing(socket.socket()) as sock:
            return sock.connect_ex((self.address, self.port)) == 0
