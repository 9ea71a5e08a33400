"""Results of operations: one frozen record each, with its facts for the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_wf.pods.base import Target


@dataclass(frozen=True)
class ArtifactNote:
    """An artifact that an operation made: its role and its path.

    `sha256` and `size_bytes` are those that its maker stated; for a local file they are
    computed from the file when the evidence is written. `content` is for an artifact without a
    file: it is written into the flow's folder under the name `path`.
    """

    role: str
    path: str
    where: str = "local"
    sha256: str = ""
    size_bytes: int = 0
    content: bytes | None = None


@dataclass(frozen=True)
class Result:
    """The result of one operation.

    `command` is its name in the contract; `skipped` is why a policy made it do nothing.
    `facts` is JSON for the evidence. Facts can be read as attributes, so a phase can use
    ``result.missing`` instead of ``result.facts["missing"]``.
    """

    command: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""
    artifacts: tuple[ArtifactNote, ...] = ()
    target: Target | None = None

    def __getattr__(self, name: str) -> Any:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(f"'{self.command}' reported no {name!r}") from None
