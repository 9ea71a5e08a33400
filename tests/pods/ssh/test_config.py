"""From what a user writes to an address, compared with OpenSSH's own answer where it helps."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest

from pytest_wf.pods.ssh.config import Address, BadDestination, SshConfig

ME = getpass.getuser()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def address(home: Path, destination: str, text: str = "") -> Address:
    (home / ".ssh" / "config").write_text(text)
    return SshConfig(str(home)).address(destination)


@pytest.mark.parametrize(
    ("written", "user", "host", "port"),
    [
        ("gpu1", ME, "gpu1", 22),
        ("root@gpu1", "root", "gpu1", 22),
        ("root@gpu1:2222", "root", "gpu1", 2222),
        ("gpu1:2222", ME, "gpu1", 2222),
        ("root@[2001:db8::1]:2222", "root", "2001:db8::1", 2222),
        ("[::1]", ME, "::1", 22),
        ("root@::1", "root", "::1", 22),
        ("fe80::1%eth0", ME, "fe80::1%eth0", 22),
        ("ssh://root@gpu1:2222", "root", "gpu1", 2222),
        ("user@domain@gpu1", "user@domain", "gpu1", 22),
    ],
)
def test_destinations_are_taken_apart(
    home: Path, written: str, user: str, host: str, port: int
) -> None:
    found = address(home, written)
    assert (found.user, found.host, found.port) == (user, host, port)


@pytest.mark.parametrize(
    "written",
    [
        *("", "@gpu1", "root@", "-oProxyCommand=x", "root@-x", "a b", "gpu1:0", "gpu1:70000"),
        *(
            "gpu1:22x",
            "gpu1:",
            "a/b",
            "a;b",
            "$(id)",
            "-l@gpu1",
            "a\n",
            "[::1",
            "gpu1:\uff12\uff12",
        ),
    ],
)
def test_what_cannot_be_a_destination_is_refused(home: Path, written: str) -> None:
    with pytest.raises(BadDestination):
        address(home, written)


def test_an_address_is_written_with_brackets_where_ipv6_needs_them() -> None:
    assert str(Address("root", "::1", 2222)) == "root@[::1]:2222"
    assert str(Address("root", "gpu1")) == "root@gpu1:22"


def test_an_alias_is_resolved(home: Path) -> None:
    text = """
        Host gpu1
            HostName 10.0.0.5
            Port = 2222
            User "root"
            IdentityFile ~/.ssh/%n_key
            IdentityFile /keys/%r@%h
            HostKeyAlias pod-7
    """
    found = address(home, "gpu1", text)
    assert str(found) == "root@10.0.0.5:2222"
    assert found.identity_files == (f"{home}/.ssh/gpu1_key", "/keys/root@10.0.0.5")
    assert found.key_alias == "pod-7"


def test_what_is_written_at_the_destination_wins(home: Path) -> None:
    text = "Host gpu1\nHostName 10.0.0.5\nPort 2222\nUser someone"
    assert str(address(home, "root@gpu1:9", text)) == "root@10.0.0.5:9"


def test_the_first_value_wins_and_patterns_match(home: Path) -> None:
    text = "Host gpu*\nPort 1\nHost !gpu1 *\nPort 2\nHost *\nPort 3\nUser u"
    assert str(address(home, "gpu1", text)) == "u@gpu1:1"
    assert str(address(home, "cpu1", text)) == "u@cpu1:2"


def test_included_files_are_read_and_a_block_goes_on_behind_them(home: Path) -> None:
    (home / ".ssh" / "more").mkdir()
    (home / ".ssh" / "more" / "a").write_text("Host gpu1\nHostName 10.0.0.5\n")
    text = "Host gpu1\nInclude more/*\nPort 7\nHost *\nUser u"
    assert str(address(home, "gpu1", text)) == "u@10.0.0.5:7"


def test_an_include_below_another_host_does_not_apply(home: Path) -> None:
    (home / ".ssh" / "more").write_text("Port 9\n")
    assert address(home, "gpu1", "Host other\nInclude more\n").port == 22


def test_includes_in_a_circle_are_refused(home: Path) -> None:
    with pytest.raises(BadDestination, match="circle"):
        address(home, "gpu1", "Include config\n")


def test_match_blocks_that_need_a_command_are_passed_over(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = f'Match exec "touch {mark}"\nPort 9\nMatch host gpu1\nPort 8\nMatch all\nUser u'
    assert str(address(home, "gpu1", text)) == "u@gpu1:8"
    assert not mark.exists()


def test_jump_hosts_are_resolved_in_order(home: Path) -> None:
    text = """
        Host gpu1
            ProxyJump gate,root@inner:2222
        Host gate
            HostName gate.example.com
            ProxyJump outer
        Host inner
            ProxyJump ignored
    """
    found = address(home, "me@gpu1", text)
    assert list(map(str, found.jumps)) == [
        f"{ME}@outer:22",
        f"{ME}@gate.example.com:22",
        "root@inner:2222",
    ]


def test_proxy_jump_none_means_none(home: Path) -> None:
    text = "Host gpu1\nProxyJump none\nHost *\nProxyJump gate\nProxyCommand nc %h %p"
    assert address(home, "gpu1", text).jumps == ()
    assert address(home, "gpu1", text).proxy_command == ""


def test_a_jump_host_that_matches_its_own_rule_is_reached_directly(home: Path) -> None:
    found = address(home, "gpu1", "Host *\nProxyJump gate\n")
    assert [jump.host for jump in found.jumps] == ["gate"]


def test_jumps_in_a_circle_are_refused(home: Path) -> None:
    text = "Host a\nProxyJump b\nHost b\nProxyJump c\nHost c\nProxyJump b\n"
    with pytest.raises(BadDestination, match="circle"):
        address(home, "a", text)


def test_a_proxy_command_is_noted_and_the_first_kind_of_proxy_wins(home: Path) -> None:
    found = address(home, "gpu1", "Host gpu1\nProxyCommand nc 'a b' %h %p # x\nProxyJump gate\n")
    assert found.proxy_command == "nc 'a b' %h %p # x"
    assert found.jumps == ()


def test_without_a_config_the_name_is_the_host(tmp_path: Path) -> None:
    assert str(SshConfig(str(tmp_path)).address("root@gpu1")) == "root@gpu1:22"


@pytest.mark.parametrize("text", ["Host gpu1\nPort ten\n", "Host gpu1\nUser 'open\n"])
def test_a_bad_value_in_the_config_is_refused(home: Path, text: str) -> None:
    with pytest.raises(BadDestination):
        address(home, "gpu1", text)


@pytest.mark.parametrize("destination", ["gpu1", "gpu2", "deep.example.com", "other", "u@gpu2"])
def test_openssh_resolves_to_the_same_place(home: Path, destination: str) -> None:
    text = """
        Host gpu1 gpu2
            HostName %h.example.com
        Host *.example.com !deep.*
            Port 1
        Match originalhost gpu2
            Port 2
        Match host deep.example.com
            User deep
        Match host gpu1.example.com
            User matched
        Host gpu? *.com
            User = root
            Port 3
        Match all
            User last
    """
    found = address(home, destination, text)
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(home / ".ssh" / "config"), destination],
        check=True,
        capture_output=True,
    )
    theirs = dict(line.split(" ", 1) for line in shown.stdout.decode().splitlines())
    assert (found.user, found.host, str(found.port)) == (
        theirs["user"],
        theirs["hostname"],
        theirs["port"],
    )


def test_a_file_with_the_line_ends_and_the_mark_of_windows_is_read(home: Path) -> None:
    text = "\ufeffHost gpu1\r\n  HostName 10.0.0.5\r\n  Port 2222\r\nHost gpu2\r\n"
    (home / ".ssh" / "config").write_bytes(text.encode())
    assert SshConfig(str(home)).address("ada@gpu1").place == "10.0.0.5:2222"
    assert SshConfig(str(home)).address("ada@gpu2").place == "gpu2:22"
