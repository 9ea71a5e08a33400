"""A data contract: what the data on the pod must be before a row starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class DataContract:
    """A command or a program that ends with status 0 where the data is on the pod, and whole.

    It runs on the pod at the end of P50, in the repository, with the virtual environment first
    on the PATH and the config's keys exported; it may download what is missing. Where the last
    line that it prints is a JSON object, that is kept as evidence. Of that object

    - `message` and `remedy` say why the contract does not hold, and what to do;
    - `checked` is false where there was nothing to check;
    - `created` lists the files that it made and that did not exist before, by their absolute
      paths: they are deleted with everything else that a flow made on the pod.

    Give one of `command` and `program`.
    """

    name: str
    #: Shell text.
    command: str = ""
    #: What to do where it does not hold, unless the object says so.
    remedy: str = ""
    timeout_s: int = 3600
    #: Source of a Python program (3.8 or later), for the checkout's Python. It need not be on
    #: the pod. Its argument is the path of a JSON file that holds `arguments`.
    program: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it is also run when an existing campaign goes on. WF_DATA_VERIFY is 1 in its
    #: environment then, else 0: with 1 it must only look.
    verifies: bool = False

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.program):
            raise ValueError(f"data contract {self.name!r}: give one of command and program")

    def as_data(self) -> dict[str, Any]:
        """The contract as plain JSON, for the pod."""
        return asdict(self)
