"""The same flow on a pod that is reached by ssh: a real OpenSSH server on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import until

ALL = ("--wf-wait=true", "--wf-fetch=all")


@pytest.fixture
def remote(project: Any, over_ssh: Callable[..., Any]) -> Any:
    """A project whose pod is an SSH host."""
    return over_ssh(project)


def test_a_flow_over_ssh_passes_with_one_connection(remote: Any, sshd: Any) -> None:
    before = sshd.accepted()
    flown = remote.flow(*ALL)
    assert flown.code == 0, flown.output
    assert sshd.accepted() - before == 1
    assert "transport=ssh" in flown.output.splitlines()
    record = flown.record("phase.P30.evidence")
    assert record["resolved_target"] == f"ssh:{sshd.user}@{sshd.host}:{sshd.port}"
    facts = record["facts"]["connection"]
    assert sshd.host_key_fingerprint in json.dumps(facts)
    assert (remote.root / "reports" / "runs" / "two" / "summary.json").exists()


@pytest.mark.fault("N10")
def test_a_host_that_allows_one_session_a_connection_is_fetched_from(
    remote: Any, make_sshd: Callable[..., Any]
) -> None:
    server = make_sshd("MaxSessions 1")
    remote.configure(
        OPS_DEFAULT_HOST=f"{server.user}@{server.host}:{server.port}",
        SSH_IDENTITY_FILE=str(server.identity_file),
        SSH_KNOWN_HOSTS=str(server.known_hosts_file),
    )
    flown = remote.flow(*ALL)
    assert flown.code == 0, flown.output
    assert (remote.root / "reports" / "runs" / "two" / "summary.json").exists()
    assert server.accepted() > 1  # requests, files, and the lease of a longer flow


def test_an_unknown_host_key_halts_and_says_what_to_write(remote: Any, sshd: Any) -> None:
    remote.configure(SSH_KNOWN_HOSTS=str(remote.root / "nobody"))
    flown = remote.flow(*ALL)
    assert flown.code == 1
    assert flown.record("flow.summary")["failure_code"] == 212
    assert sshd.host_key_fingerprint in flown.output
    assert "SSH_HOST_FINGERPRINT" in flown.output
    assert not remote.outputs.exists()


@pytest.mark.fault("F2")
def test_a_host_alias_that_points_elsewhere_in_mid_flow_halts(remote: Any, sshd: Any) -> None:
    ssh_config = f"Host pod\n  HostName {sshd.host}\n  Port {{}}\n  User {sshd.user}\n"
    folder = remote.root.parent / "home" / ".ssh"
    folder.mkdir(mode=0o700)
    (folder / "config").write_text(ssh_config.format(sshd.port))
    remote.configure(OPS_DEFAULT_HOST="pod")
    remote.phase(
        "P45",
        f"path = __import__('pathlib').Path({str(folder / 'config')!r})\n"
        f"path.write_text({ssh_config.format(1)!r})",
    )
    before = sshd.accepted()
    flown = remote.flow(*ALL)
    assert flown.code == 1
    assert flown.record("flow.summary")["failure_code"] == 204
    assert flown.record("flow.summary")["failed_phase"] == "P45"
    bound = flown.record("phase.P30.evidence")["resolved_target"]
    assert bound == f"ssh:pod@{sshd.user}@{sshd.host}:{sshd.port}"
    assert sshd.accepted() - before == 1


@pytest.mark.fault("N1")
def test_a_link_that_is_cut_in_mid_sweep_is_mended(
    new_project: Callable[..., Any], over_ssh: Callable[..., Any], sshd: Any, tmp_path: Any
) -> None:
    gate = tmp_path / "gate"
    remote = over_ssh(new_project(rows=(f"one,default.py,1,wait_for={gate},",)))
    run = remote.start(*ALL)
    log = remote.outputs / "one" / "stdout.log"
    until(lambda: log.exists() and "training one" in log.read_text(), "the row trains")
    sshd.cut_sessions()
    gate.touch()
    run.wait()
    assert run.code == 0, run.output
    assert len((remote.outputs / "one" / "out" / "argv.json").read_text().splitlines()) == 1


def test_doctor_looks_at_the_pod_and_changes_nothing(remote: Any) -> None:
    seen = remote.wf("doctor", "--json")
    assert seen.returncode == 0, seen.stderr
    facts = json.loads(seen.stdout)
    assert facts["ready"] is True
    assert facts["probe"]["os"].lower() == "linux"
    assert facts["state"]["state"] == "INIT"
    assert "mode=primitive" in seen.stderr.splitlines()
    assert list(remote.outputs.parent.iterdir()) == []


@pytest.mark.fault("N11")
def test_a_host_key_that_changes_in_mid_flow_stops_it_before_anybody_logs_in(
    new_project: Callable[..., Any],
    over_ssh: Callable[..., Any],
    make_sshd: Callable[..., Any],
    tmp_path: Any,
) -> None:
    gate, server = tmp_path / "gate", make_sshd()
    remote = over_ssh(new_project(rows=(f"one,default.py,1,wait_for={gate},",)))
    known = tmp_path / "known_hosts"
    known.write_bytes(server.known_hosts_file.read_bytes())
    remote.configure(
        OPS_DEFAULT_HOST=f"{server.user}@{server.host}:{server.port}",
        SSH_IDENTITY_FILE=str(server.identity_file),
        SSH_KNOWN_HOSTS=str(known),
    )
    run = remote.start(*ALL)
    log = remote.outputs / "one" / "stdout.log"
    until(lambda: log.exists() and "training one" in log.read_text(), "the row trains")
    first, before = server.host_key_fingerprint, server.accepted()
    sessions = server.sessions()
    server.stop()  # first, so that nobody logs in to the server that has the old key
    server.new_host_key()
    server.cut_sessions(sessions)
    server.start()
    run.wait()
    gate.touch()
    assert run.code == 1
    assert run.record("flow.summary")["failure_code"] in (212, 412, 480), run.output
    for fingerprint in (first, server.host_key_fingerprint):
        assert fingerprint in run.output
    assert server.accepted() == before, "no login was made"
    assert run.record("phase.P90.evidence")["facts"]["deleted"] is False


@pytest.mark.fault("T2")
@pytest.mark.long
def test_a_link_that_is_cut_in_mid_deletion_costs_nothing_and_deletes_nothing_else(
    remote: Any, sshd: Any
) -> None:
    assert remote.flow(*ALL).code == 0
    foreign = remote.outputs.parent / "somebodys.txt"
    foreign.write_text("not ours")
    many = remote.outputs / "one" / "out"
    for number in range(8_000):
        (many / str(number)).touch()
    assert remote.wf("fetch-all").returncode == 0
    deleting = remote.start_wf("pod-delete")
    until(lambda: not (many / "0").exists() or deleting.poll() is not None, "it deletes")
    sshd.cut_sessions()
    told = deleting.communicate(timeout=100)
    assert deleting.returncode == 0, told
    assert not (remote.outputs / "one").exists()
    assert not (remote.outputs.parent / "repo").exists()
    assert foreign.read_text() == "not ours"
