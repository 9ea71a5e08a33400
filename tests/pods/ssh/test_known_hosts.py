"""The known_hosts reader and its rules, without a network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import threading
from pathlib import Path

import pytest

from pytest_wf.errors import HostKeyError
from pytest_wf.pods.ssh.known_hosts import HostKey, KnownHosts, check_pin, known_name

ONE = HostKey("ssh-ed25519", b"one")
TWO = HostKey("ssh-ed25519", b"two")
RSA = HostKey("ssh-rsa", b"rsa")
NAME = "[10.0.0.1]:2222"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "flows" / "known_hosts"


def known(own: Path, text: str, name: str = NAME, key: HostKey = ONE) -> bool:
    theirs = own.parent.parent / "theirs"
    theirs.write_text(text)
    return KnownHosts([str(theirs), str(own)]).knows(name, key, "the host")


def hashed(name: str) -> str:
    salt = b"0123456789abcdef0123"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("Gpu1.Example.com", 22, "gpu1.example.com"),
        ("gpu1", 2222, "[gpu1]:2222"),
        ("::1", 22, "::1"),
        ("::1", 7, "[::1]:7"),
    ],
)
def test_hosts_are_named_as_openssh_names_them(host: str, port: int, name: str) -> None:
    assert known_name(host, port) == name


def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True
    )
    kind, encoded = (tmp_path / "key.pub").read_text().split()[:2]
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], check=True, capture_output=True
    )
    assert HostKey(kind, base64.b64decode(encoded)).fingerprint == shown.stdout.decode().split()[1]


@pytest.mark.parametrize(
    "names",
    [NAME, f"other,{NAME}", "[10.0.0.*]:2222", "[10.0.0.?]:2222", "*", hashed(NAME)],
)
def test_a_key_is_known_by_name_list_wildcard_or_hash(own: Path, names: str) -> None:
    assert known(own, ONE.line(names))


@pytest.mark.parametrize(
    "names",
    ["10.0.0.1", "[10.0.0.1]:22", f"*,!{NAME}", "[10.0.0.2]:2222", hashed("10.0.0.1"), "|2|x|y"],
)
def test_a_key_of_another_name_is_not_known(own: Path, names: str) -> None:
    assert not known(own, ONE.line(names))


def test_odd_lines_spoil_nothing(own: Path) -> None:
    odd = "# comment\n\nhalf a\n@cert-authority * ssh-rsa AAAA\n\0\n|1|%|% ssh-rsa !!!\n\xff x y\n"
    assert known(own, odd + ONE.line(NAME) + " some comment\r\n" + odd)


def test_a_changed_key_is_fatal_and_names_both_fingerprints_and_the_line(own: Path) -> None:
    with pytest.raises(HostKeyError) as e:
        known(own, "\n" + ONE.line(NAME), key=TWO)
    assert ONE.fingerprint in str(e.value)
    assert TWO.fingerprint in str(e.value)
    assert "theirs:2" in str(e.value)


def test_a_key_of_another_type_is_a_changed_key(own: Path) -> None:
    with pytest.raises(HostKeyError, match="has changed"):
        known(own, RSA.line(NAME))


def test_any_of_several_keys_of_a_host_will_do(own: Path) -> None:
    assert known(own, f"{RSA.line(NAME)}\n{TWO.line(NAME)}\n{ONE.line(NAME)}")


def test_a_revoked_key_is_fatal_even_where_it_is_also_known(own: Path) -> None:
    with pytest.raises(HostKeyError, match="revoked"):
        known(own, f"{ONE.line(NAME)}\n@revoked {ONE.line('*')}")


def test_another_key_that_is_revoked_does_not_matter(own: Path) -> None:
    assert known(own, f"{ONE.line(NAME)}\n@revoked {TWO.line('*')}")


def test_the_first_key_is_recorded_privately_and_known_from_then_on(own: Path) -> None:
    hosts = KnownHosts([str(own)])
    hosts.record(NAME, ONE, "the host")
    hosts.record(NAME, ONE, "the host")
    assert hosts.knows(NAME, ONE, "the host")
    assert own.read_text() == ONE.line(NAME) + "\n"
    assert own.stat().st_mode & 0o777 == 0o600
    assert os.listdir(own.parent) == ["known_hosts"]


def test_recording_keeps_what_stands_there_and_a_missing_line_end(own: Path) -> None:
    own.parent.mkdir()
    own.write_text("# mine")
    KnownHosts([str(own)]).record(NAME, ONE, "the host")
    assert own.read_text() == f"# mine\n{ONE.line(NAME)}\n"


def test_a_second_key_is_never_recorded_over_the_first(own: Path) -> None:
    hosts = KnownHosts([str(own)])
    hosts.record(NAME, ONE, "the host")
    with pytest.raises(HostKeyError, match="has changed"):
        hosts.record(NAME, TWO, "the host")


def test_flows_that_record_at_once_lose_no_line(own: Path) -> None:
    def record(number: int) -> None:
        KnownHosts([str(own)]).record(f"host{number}", ONE, "the host")

    threads = [threading.Thread(target=record, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(own.read_text().splitlines()) == 16


def test_a_host_that_is_gone_is_forgotten_and_others_are_not(own: Path) -> None:
    hosts = KnownHosts([str(own)])
    hosts.record("a", ONE, "a")
    hosts.record("b", TWO, "b")
    assert hosts.forget("a")
    assert not hosts.forget("a")
    assert own.read_text() == TWO.line("b") + "\n"


def test_a_file_that_cannot_be_read_is_an_error_and_not_an_empty_one(own: Path) -> None:
    own.mkdir(parents=True)
    with pytest.raises(HostKeyError, match="cannot be read"):
        KnownHosts([str(own)]).knows(NAME, ONE, "the host")


def test_a_pin_takes_only_its_own_fingerprint() -> None:
    check_pin(ONE, ONE.fingerprint, "the host")
    check_pin(ONE, ONE.fingerprint + "=", "the host")
    with pytest.raises(HostKeyError) as e:
        check_pin(TWO, ONE.fingerprint, "the host")
    assert ONE.fingerprint in str(e.value)
    assert TWO.fingerprint in str(e.value)


def test_known_types_are_listed_once(own: Path) -> None:
    hosts = KnownHosts([str(own)])
    own.parent.mkdir()
    own.write_text(
        f"{RSA.line(NAME)}\n{ONE.line(NAME)}\n{TWO.line(NAME)}\n@revoked {RSA.line('x')}"
    )
    assert hosts.types(NAME) == ["ssh-rsa", "ssh-ed25519"]
