"""Hosts that cannot be reached, trusted or used: what the halt tells leads on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hints import halt, halted
from tests.support.sshd import Sshd
from tests.support.waiting import until
from tests.support.wire import Wire

LIMITS = ("SSH_CONNECT_TIMEOUT_SECS", "POD_WAIT_MAX_SECS", "POD_SILENCE_MAX_SECS")


@pytest.fixture
def remote(project: Any, over_ssh: Callable[..., Any]) -> Any:
    """A project whose pod is the test's own SSH server."""
    over_ssh(project)
    project.configure(**dict.fromkeys(LIMITS, "2"))
    return project


@pytest.mark.failure("unreachable")
def test_a_host_that_is_down(remote: Any, sshd: Sshd) -> None:
    sshd.stop()
    try:
        hint = halt(remote, "unreachable")
    finally:
        sshd.start()
    remote.configure(**dict.fromkeys(LIMITS, "60"))  # a login takes seconds on a slow machine
    hint.leads_on()


@pytest.mark.long
@pytest.mark.failure("host-key")
def test_a_host_whose_key_is_unknown(remote: Any, sshd: Sshd) -> None:
    remote.configure(SSH_KNOWN_HOSTS=str(remote.root / "known"))
    hint = halt(remote, "host-key")
    remote.configure(SSH_HOST_FINGERPRINT=sshd.host_key_fingerprint)
    hint.leads_on()


@pytest.mark.long
@pytest.mark.failure("authentication")
def test_a_key_that_the_host_does_not_accept(remote: Any, sshd: Sshd, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    remote.configure(SSH_IDENTITY_FILE=str(other))
    hint = halt(remote, "authentication")
    remote.configure(SSH_IDENTITY_FILE=str(sshd.identity_file))
    hint.leads_on()


@pytest.mark.long
@pytest.mark.failure("not-a-pod")
def test_a_login_that_runs_no_commands(
    remote: Any, sshd: Sshd, make_sshd: Callable[..., Sshd]
) -> None:
    def name_host(server: Sshd) -> None:
        remote.configure(
            OPS_DEFAULT_HOST=f"{server.user}@{server.host}:{server.port}",
            SSH_KNOWN_HOSTS=str(server.known_hosts_file),
            SSH_IDENTITY_FILE=str(server.identity_file),
        )

    name_host(make_sshd("ForceCommand /bin/false"))
    hint = halt(remote, "not-a-pod")
    name_host(sshd)
    hint.leads_on()


@pytest.mark.long
@pytest.mark.failure("link-lost")
def test_a_link_that_works_again(
    project: Any, over_ssh: Callable[..., Any], wire: Wire, tmp_path: Path
) -> None:
    over_ssh(project, wire)
    script, begun = tmp_path / "script.sh", tmp_path / "begun"
    script.write_text(f"touch {begun}\nwhile [ ! -e {tmp_path}/gate ]; do sleep 0.1; done\n")
    project.configure(POD_WAIT_MAX_SECS="2", BOOTSTRAP_SCRIPT=str(script))
    run = project.start()
    until(begun.exists, "the script runs")
    wire.kill()
    hint = halted(project, "link-lost", run.wait())
    wire.mend()
    (tmp_path / "gate").touch()
    hint.leads_on()
