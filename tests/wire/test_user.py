"""Who a process belongs to, also where the system does not know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_wf.pods.ssh.config import SshConfig
from pytest_wf.wire import user


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose user id has no name and no home, as in some containers."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
def test_a_user_without_a_name_is_called_by_its_id() -> None:
    assert user.name() == str(os.getuid())
    assert SshConfig().address("gpu1").user == str(os.getuid())


@pytest.mark.usefixtures("nobody")
def test_a_user_without_a_home_has_the_root_directory_as_one() -> None:
    assert user.home() == "/"
    assert user.expanded("~/.config") == "/.config"
    assert SshConfig().folder == Path("/.ssh")


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_no_absolute_path_is_none(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    assert user.home() == "/"


def test_the_home_of_an_unknown_user_stays_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert user.expanded("~") == "/home/ada"
    assert user.expanded("~/key") == "/home/ada/key"
    assert user.expanded("~no-such-user/key") == "~no-such-user/key"
