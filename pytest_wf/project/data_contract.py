"""A data contract: a condition on the data on the pod, checked before a row starts."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_wf.errors import InputError, Problem
from pytest_wf.wire.files import canonical_json


@dataclass(frozen=True)
class DataContract:
    """A command or a program that exits with status 0 if the data on the pod is complete.

    It runs on the pod at the end of P50, in the repository, with the virtual environment first
    on the PATH and the config's keys exported. It may download missing data. The last line of
    its output that is a JSON object is kept as evidence. In that object

    - `message` and `remedy` say why the contract does not hold, and what to do;
    - `checked` is false if there was nothing to check.

    Give either `command` or `program`, and no secrets: they and `arguments` are written to the
    pod's disk and log. Raises InputError, which names the caller's line, for an invalid
    contract.
    """

    name: str
    #: Shell text.
    command: str = ""
    #: The remedy, unless the object has one.
    remedy: str = ""
    timeout_s: int = 3600
    #: Source of a Python program (3.8 or later), for the checkout's Python. It need not be on
    #: the pod. Its argument is the path of a JSON file with `arguments`.
    program: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it also runs when an existing campaign is resumed. WF_DATA_VERIFY is then 1 in its
    #: environment, otherwise 0: with 1 it must not change anything.
    verifies: bool = False
    #: Absolute, normalised paths of files that it may make. A file that did not exist before is
    #: deleted with everything else that a flow made on the pod, if the contract appends its
    #: path, as a line, to the file that WF_DATA_CREATED names just before making it. That
    #: variable is empty if the contract must not change anything.
    creates: Sequence[str] = ()

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.program):
            raise self._mistake("it needs a command or a program.", "Give one of the two.")
        if isinstance(self.creates, str):
            raise self._mistake("creates is one text.", "Give a list of paths.")
        try:
            canonical_json(self.as_data())
        except (TypeError, ValueError) as e:
            raise self._mistake(f"it is not JSON: {e}.", "Give plain values.") from None

    def _mistake(self, reason: str, remedy: str) -> InputError:
        # frames below this call: __post_init__, the generated __init__, and the caller
        caller = traceback.extract_stack(limit=4)[0]
        where = f"data contract {self.name!r}"
        return InputError([Problem(caller.filename, caller.lineno, where, None, reason, remedy)])

    def as_data(self) -> dict[str, Any]:
        """The contract as plain JSON, for the pod."""
        return {**asdict(self), "creates": list(self.creates)}
