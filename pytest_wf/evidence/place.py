"""The paths of files that a flow's evidence names, and the flows that replaced them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence import chain
from pytest_wf.evidence.folder import parsed, read_regular, text_of
from pytest_wf.wire.files import sha256_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

#: The most other flows that are asked whether they replaced a file.
_MOST_SIBLINGS = 1000


@dataclass(frozen=True)
class Place:
    """A flow's folder, and the project around it, which may have been moved."""

    folder: Path
    #: The flow's start record as it can be read; may be empty.
    start: Mapping[str, Any]
    #: If given, another flow is trusted only if this key signed it.
    public_key: Ed25519PublicKey | None = None

    @property
    def flow_id(self) -> str:
        """The flow's id."""
        return text_of(self.start, "flow_id")

    @property
    def flow_folder(self) -> Path:
        """The folder of the complete flow, which contains those of its members."""
        return self.folder.parents[1] if text_of(self.start, "member") else self.folder

    @property
    def mark(self) -> str:
        """The text that the path of each file in the folder contains, wherever the folder is."""
        if not self.flow_id:
            return ""
        member = text_of(self.start, "member")
        return f"/{self.flow_id}/{chain.MEMBERS}/{member}/" if member else f"/{self.flow_id}/"

    @cached_property
    def root(self) -> Path:
        """The project's root: above the folder if that was not moved, otherwise as recorded."""
        recorded = Path(text_of(self.start, "project_dir") or self.folder)
        inside = PurePosixPath(text_of(self.start, "evidence_dir")).parts
        above = self.flow_folder.parent.parts
        if inside and inside[0] != "/" and above[-len(inside) :] == inside:
            return Path(*above[: -len(inside)])
        return recorded

    def located(self, path: str) -> Path:
        """The path of `path` in the evidence: absolute, or relative to the project."""
        given, project = Path(path), text_of(self.start, "project_dir")
        if project and given.is_relative_to(project):
            given = given.relative_to(project)
        return self.root / given

    def replaced_by(self, name: str, matches: Callable[[bytes], bool]) -> str:
        """The other flow whose file `name` matches and is valid; '' for none."""
        try:
            folders = sorted(self.flow_folder.parent.iterdir(), reverse=True)[:_MOST_SIBLINGS]
        except OSError:
            return ""
        for folder in folders:
            try:
                raw = read_regular(folder / name)
            except OSError:
                continue
            if folder != self.folder and matches(raw) and (flow_id := self._owner(folder, name)):
                return flow_id
        return ""

    def has_begun(self, flow_id: str) -> bool:
        """Whether the folder of `flow_id` beside this one has a valid start record."""
        folder = self.flow_folder.parent / flow_id
        documents: dict[str, bytes] = {}
        for name in (chain.START, chain.START_SIGNATURE):
            with suppress(OSError):
                documents[name] = read_regular(folder / name)
        stated = text_of(parsed(documents.get(chain.START)), "flow_id")
        return stated == flow_id and self._is_signed(documents)

    def _owner(self, folder: Path, name: str) -> str:
        """The id of the other flow in `folder`; '' if its file `name` is not valid."""
        signatures = (chain.SIGNATURE, chain.VIEWS_SIGNATURE)
        documents: dict[str, bytes] = {}
        for one in (chain.SUMMARY, name, *signatures):
            try:
                documents[one] = read_regular(folder / one)
            except OSError:
                if one not in signatures:
                    return ""
        summary = parsed(documents[chain.SUMMARY])
        files = summary.get("files")
        stated = files.get(name) if isinstance(files, dict) else None
        if name == chain.VIEWS:
            stated = sha256_bytes(documents[name])  # written after the summary
        if stated != sha256_bytes(documents[name]) or not self._is_signed(documents):
            return ""
        flow_id = text_of(summary, "flow_id")
        return flow_id if flow_id != self.flow_id else ""

    def _is_signed(self, documents: Mapping[str, bytes]) -> bool:
        if self.public_key is None:
            return True
        from pytest_wf.evidence.signing import signature_findings

        key, names = self.public_key, {chain.START, chain.SUMMARY, chain.VIEWS} & set(documents)
        return not any(signature_findings(documents, name, key) for name in names)
