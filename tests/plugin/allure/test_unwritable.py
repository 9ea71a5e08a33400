"""Allure's files on a disk that is full: nothing ends for that, and no secret is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import allure_commons
import pytest

from pytest_wf.plugin.allure import mask
from pytest_wf.plugin.allure.mask import AllureMask
from pytest_wf.wire.redact import Redactor

_hook: Callable[[Any], Any] = allure_commons.hookimpl

SECRET = "s3cret-" + "v" * 20


class _Writer:
    """Writes attachments as Allure's own logger does, until the disk is `full`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_full = False

    @_hook
    def report_attached_data(self, body: str, file_name: str) -> None:
        part = self.folder / f"{file_name}.tmp"
        part.write_text(body)
        if self.is_full:
            raise OSError(28, "No space left on device")
        part.rename(self.folder / file_name)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[_Writer]:
    """Allure's writer, registered."""
    made = _Writer(tmp_path)
    allure_commons.plugin_manager.register(made)
    yield made
    allure_commons.plugin_manager.unregister(made)


@pytest.fixture
def masked(tmp_path: Path) -> Iterator[AllureMask]:
    """The mask round that writer."""
    made = AllureMask(tmp_path, Redactor([SECRET]))
    yield made
    made.close()


def _attach() -> None:
    allure_commons.plugin_manager.hook.report_attached_data(body=f"a {SECRET}", file_name="a.txt")


def test_an_attachment_is_masked_behind_its_writer(writer: _Writer, masked: AllureMask) -> None:
    _attach()
    assert SECRET not in (writer.folder / "a.txt").read_text()
    assert masked.trouble == ""


def test_half_an_attachment_is_removed(writer: _Writer, masked: AllureMask) -> None:
    writer.is_full = True
    _attach()
    assert list(writer.folder.iterdir()) == []
    assert "No space left" in masked.trouble


def test_an_attachment_that_could_not_be_masked_is_removed(
    writer: _Writer, masked: AllureMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: str, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mask, "write_atomic", refuse)
    _attach()
    assert list(writer.folder.iterdir()) == []
    assert "No space left" in masked.trouble
