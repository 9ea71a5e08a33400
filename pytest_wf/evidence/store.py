"""Writes a flow's records: one folder, redacted, atomic, chained."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from pytest_wf.errors import OperationFailed
from pytest_wf.evidence import chain
from pytest_wf.evidence.event_log import EventLog
from pytest_wf.evidence.event_reader import EVENTS
from pytest_wf.evidence.flushing import flush_file, flush_together
from pytest_wf.evidence.folder import files_of
from pytest_wf.evidence.records import (
    Artifact,
    ConstitutionalReport,
    DeterministicReport,
    Evidence,
    FleetRecord,
    FlowStart,
    FlowSummary,
    Signer,
    Verdict,
    Views,
)
from pytest_wf.wire.files import (
    canonical_json,
    pretty_json,
    sha256_bytes,
    sha256_file,
    write_atomic,
)
from pytest_wf.wire.redact import Redactor

#: Records that a verdict refers to: they are flushed with it, before its rename.
_FLUSHED_LATER = frozenset({"evidence", "deterministic", "constitutional"})
#: In place of the digest of a file that could not be read; the court fails for it.
NO_FILE = "0" * 64

Sink = Callable[[str, Mapping[str, Any], Path], None]


class EvidenceStore:
    """The folder ``<root>/<flow_id>``, or ``<root>/<name>``, and the head of its chain.

    All content passes the redactor first. `on_record` is called after
    each record with its kind, its redacted content and its path.
    """

    def __init__(
        self,
        root: Path,
        flow_id: str,
        redactor: Redactor,
        on_record: Sink | None = None,
        name: str | None = None,
    ) -> None:
        self.dir = root.resolve() / (name or flow_id)
        self.flow_id = flow_id
        #: Digest of the raw bytes of the last verdict file; None before the first.
        self.head: str | None = None
        #: The summary's digest of itself; None before it is written.
        self.summary_digest: str | None = None
        #: The log of the flow's effects; sealed by `write_summary`.
        self.events = EventLog(self.dir / EVENTS, self.as_data)
        self._redactor = redactor
        self._on_record = on_record
        #: Digests of the records, by name.
        self._written: dict[str, str] = {}
        #: Files that are flushed with the next verdict.
        self._unflushed: set[str] = set()

    def path_of(self, code: str, kind: str) -> Path:
        """The path of the record of `kind` ('evidence', 'verdict', …) of a phase."""
        return self.dir / chain.phase_file(code, kind)

    def write_start(self, start: FlowStart) -> Path:
        """Write flow.start.json. Raises OSError."""
        return self._write("start", chain.START, self.as_data(start))[0]

    def write_evidence(self, evidence: Evidence) -> tuple[Path, str]:
        """Write a phase's evidence; return its path and the digest of its raw bytes."""
        return self._write_phase("evidence", evidence.phase_id, evidence)

    def write_deterministic(self, report: DeterministicReport) -> tuple[Path, str]:
        """Write the report of the deterministic layer."""
        return self._write_phase("deterministic", report.phase_id, report)

    def write_constitutional(self, report: ConstitutionalReport) -> tuple[Path, str]:
        """Write the auditor's answer."""
        return self._write_phase("constitutional", report.phase_id, report)

    def write_verdict(self, verdict: Verdict) -> tuple[Path, str]:
        """Write a verdict and make it the head of the chain."""
        return self._write_phase("verdict", verdict.phase_id, verdict)

    def write_summary(self, summary: FlowSummary, signed_by: Signer | None = None) -> Path:
        """Close the chain: fill the summary's last fields, and write it.

        Afterwards, only the summary's signature is added to the folder and, if
        `has_views` is true, the record of views with its own. Raises OperationFailed
        'local-disk' if an earlier record is gone or was changed.
        """
        self.events.seal()
        record = self.as_data(summary.model_copy(update={"signed_by": signed_by}))
        record["chain_head"] = self.head
        found = {name: sha256_file(str(path)) for name, path in files_of(self.dir).items()}
        self._require_own_records(found)
        record["files"] = {name: found[name] for name in found if name != chain.SUMMARY}
        record["digest"] = chain.own_digest(record)
        path = self._write("summary", chain.SUMMARY, record)[0]
        self.summary_digest = record["digest"]
        return path

    def write_fleet(self, fleet: FleetRecord) -> Path:
        """Write the record of the flow's members, or replace it."""
        return self._write("fleet", chain.FLEET, self.as_data(fleet))[0]

    def write_views(self, views: Views) -> Path:
        """Write the record of views; only its signature follows."""
        record = self.as_data(views)
        record["digest"] = chain.own_digest(record)
        return self._write("views", chain.VIEWS, record)[0]

    def write_provenance(self, statement: Mapping[str, Any]) -> bytes:
        """Write the statement about fetched files, redacted; return the written bytes."""
        raw = canonical_json(self._redactor.value(plain_json(dict(statement)))) + b"\n"
        self._put(self.dir / chain.PROVENANCE, raw)
        return raw

    def write_envelope(self, name: str, envelope: bytes) -> Path:
        """Write a DSSE envelope."""
        self._put(self.dir / name, envelope, is_flushed=True)
        return self.dir / name

    def attach(self, name: str, content: bytes) -> Path:
        """Put a further file into the folder; a name that exists gets a number.

        Slashes in `name` become underscores. The content is written unchanged: the
        caller must redact text.
        """
        safe = name.replace("/", "_").replace("\0", "_").lstrip(".") or "attachment"
        path, number = self.dir / safe, 1
        while path.exists():
            number += 1
            path = self.dir / f"{number}.{safe}"
        self._put(path, content)
        return path

    def artifact(
        self, role: str, path: Path | str, where: Literal["local", "pod"] = "local"
    ) -> Artifact:
        """The record of a local file, with its digest and size.

        A file that cannot be read gets the digest `NO_FILE`, and the court fails for it.
        """
        try:
            digest, size = sha256_file(str(path)), Path(path).stat().st_size
        except OSError:
            digest, size = NO_FILE, 0
        return Artifact(role=role, path=str(path), sha256=digest, bytes=size, where=where)

    def as_data(self, record: BaseModel) -> dict[str, Any]:
        """`record` as redacted JSON, as it is written."""
        redacted = self._redactor.value(plain_json(record.model_dump(mode="json")))
        assert isinstance(redacted, dict)
        return redacted

    def _require_own_records(self, found: Mapping[str, str]) -> None:
        """Refuse to close a folder that does not contain the records written into it."""
        wrong = sorted(name for name, digest in self._written.items() if found.get(name) != digest)
        if wrong:
            raise OperationFailed(
                "local-disk",
                f"records in {self.dir} were removed or changed while the flow ran: "
                f"{', '.join(wrong)}",
                "Put the folder back, or find out who changes it; the pod keeps the results: "
                "`--wf-sweep=resume` continues.",
            )

    def _write_phase(self, kind: str, code: str, record: BaseModel) -> tuple[Path, str]:
        return self._write(kind, chain.phase_file(code, kind), self.as_data(record))

    def _write(self, kind: str, name: str, record: Mapping[str, Any]) -> tuple[Path, str]:
        raw = pretty_json(record)
        path = self.dir / name
        self._put(path, raw, is_flushed=kind not in _FLUSHED_LATER)
        digest = self._written[name] = sha256_bytes(raw)
        if kind == "verdict":
            self.head = digest  # before a sink can raise
        if self._on_record is not None:
            self._on_record(kind, record, path)
        return path, digest

    def _put(self, path: Path, content: bytes, *, is_flushed: bool = False) -> None:
        """Write a file of the folder; it is flushed at once, or before the next flushed file."""
        self.dir.mkdir(parents=True, exist_ok=True)
        if is_flushed:
            write_atomic(str(path), content, flush=self._flush_all)
        else:
            self._unflushed.add(str(path))
            write_atomic(str(path), content, flush=None)

    def _flush_all(self, fd: int) -> None:
        """Flush the open file `fd` together with all files that it may refer to."""
        waiting = [partial(flush_file, path) for path in self._unflushed]
        flush_together([partial(os.fsync, fd), self.events.flush, *waiting])
        self._unflushed.clear()


def plain_json(value: Any) -> Any:
    """`value` without anything that strict JSON cannot represent: NaN, infinities, surrogates."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {plain_json(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    return value
