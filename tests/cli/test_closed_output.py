"""What a command says where its output is full or closed."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from pytest_wf.cli.output import print_parts, tell
from pytest_wf.console.columns import Part
from pytest_wf.errors import WfError


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        """Write nothing."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_is_on_stderr_where_stdout_is_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    tell(WfError("No space left on device"), "error", as_json=True)
    assert capsys.readouterr().err == "ERROR: No space left on device\n"


def test_a_closed_stdout_is_no_terminal_and_no_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    print_parts([[Part("a row")]])
    assert capsys.readouterr().err == ""
