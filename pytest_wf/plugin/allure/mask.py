"""Masks secrets in Allure results, and sets values that Allure would overwrite."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import allure_commons
from allure_commons.model2 import Status, StatusDetails

from pytest_wf.wire.files import write_atomic
from pytest_wf.wire.redact import Redactor

_Hook = TypeVar("_Hook", bound=Callable[..., Generator[None, object, object]])
_around: Callable[[_Hook], _Hook] = allure_commons.hookimpl(wrapper=True)


class AllureMask:
    """Masks what Allure's reporter writes into `folder`, until `close`.

    Allure takes messages from the exceptions themselves, and the attachments of a phase's author:
    masking pytest's reports does not reach them. This is an Allure plugin
    around Allure's writer: results are masked before they are written, attachments afterwards.
    Files that cannot be written, such as on a full disk, are left out and fail no flow.
    """

    def __init__(self, folder: Path, redactor: Redactor) -> None:
        self._folder = folder
        self._redactor = redactor
        self._settled: dict[str, dict[str, Any]] = {}
        self._skipped: dict[str, str] = {}
        #: Why something is missing in `folder`; '' if nothing is.
        self.trouble = ""
        allure_commons.plugin_manager.register(self)

    def settle(self, uuid: str, values: dict[str, Any]) -> None:
        """Set these values of the result `uuid` when it is written, whatever they are by then."""
        self._settled.setdefault(uuid, {}).update(values)

    def skip(self, uuid: str, reason: str) -> None:
        """Show the result `uuid` as skipped if it has passed when it is written."""
        self._skipped[uuid] = reason

    def close(self) -> None:
        """Stop masking."""
        allure_commons.plugin_manager.unregister(self)

    @_around
    def report_result(self, result: Any) -> Generator[None, object, object]:
        for name, value in self._settled.pop(result.uuid, {}).items():
            setattr(result, name, value)
        reason = self._skipped.pop(result.uuid, None)
        if reason is not None and result.status == Status.PASSED:
            result.status, result.statusDetails = Status.SKIPPED, StatusDetails(message=reason)
        self._mask(result)
        return (yield from self._written())

    @_around
    def report_container(self, container: Any) -> Generator[None, object, object]:
        self._mask(container)
        return (yield from self._written())

    @_around
    def report_globals(self, globals_item: Any) -> Generator[None, object, object]:
        self._mask(globals_item)
        return (yield from self._written())

    @_around
    def report_attached_data(self, file_name: str) -> Generator[None, object, object]:
        return (yield from self._written(file_name))

    @_around
    def report_attached_file(self, file_name: str) -> Generator[None, object, object]:
        return (yield from self._written(file_name))

    def _written(self, attachment: str = "") -> Generator[None, object, object]:
        """Let Allure write; mask or remove an attachment."""
        try:
            found = yield
            if attachment:
                self._mask_file(attachment)
            return found
        except OSError as e:
            self.trouble = self.trouble or str(e)
            for name in (attachment, f"{attachment}.tmp") if attachment else ():
                with suppress(OSError):
                    (self._folder / name).unlink()
            return None

    def _mask(self, item: Any) -> None:
        for name, value in vars(item).items():
            setattr(item, name, self._masked(value))

    def _masked(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return self._redactor.shown(value)
        if isinstance(value, list):
            return [self._masked(one) for one in value]
        if isinstance(value, dict):
            return self._redactor.shown_value(value)
        if hasattr(value, "__dict__"):
            self._mask(value)
        return value

    def _mask_file(self, name: str) -> None:
        path = self._folder / name
        before = path.read_bytes()
        text = before.decode("utf-8", "surrogateescape")
        after = self._redactor.text(text).encode("utf-8", "surrogateescape")
        if after != before:
            write_atomic(str(path), after)
