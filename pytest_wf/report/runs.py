"""Fetched runs: found through a flow's evidence, and read without trusting them.

A run belongs to the flow only if its commit record says so: same run id, same campaign.
Its files are compared with the digests in the flow's own copy of that record.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_wf.evidence.fetch_record import COMMIT_RECORD, SUPERSEDED, record_name
from pytest_wf.wire import ids
from pytest_wf.wire.files import BadJson, parse_json, sha256_bytes
from pytest_wf.wire.rows import Malformed, RunResult
from pytest_wf.wire.safe_text import readable

METRICS = "metrics.jsonl"
LOG = "stdout.log"
SUMMARY = "summary.json"

#: The most bytes that are read of one file.
MAX_METRICS_BYTES = 64 * 1024 * 1024
_MAX_JSON_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 64 * 1024

#: How many levels above the flow's folder a moved project is searched.
_MAX_PARENTS = 6


@dataclass(frozen=True)
class Stated:
    """A fetched run as named in a flow's evidence."""

    path: str
    #: Digest of its commit record.
    sha256: str


@dataclass(frozen=True)
class FetchedRun:
    """A run's folder on this machine, with its commit record."""

    path: Path
    #: Digests of the fetched files, by name in the folder.
    digests: Mapping[str, str]
    #: Why the copy is not verified, by its commit record: the run had not ended, or
    #: it was fetched from its directory.
    problems: tuple[str, ...] = ()

    def metrics_bytes(self) -> int:
        """The size of the metrics file, up to the limit; 0 if there is none."""
        try:
            return min((self.path / METRICS).lstat().st_size, MAX_METRICS_BYTES)
        except OSError:
            return 0

    def metrics(self) -> tuple[bytes, str]:
        """The bytes of the metrics file, and what is wrong with them; b'' without one."""
        raw = read_regular(self.path / METRICS, MAX_METRICS_BYTES + 1)
        if raw is None:
            return b"", ""
        if len(raw) > MAX_METRICS_BYTES:
            raw = raw[:MAX_METRICS_BYTES].rpartition(b"\n")[0]
            return raw, f"Only the first {MAX_METRICS_BYTES >> 20} MiB of {METRICS} were read."
        if sha256_bytes(raw) != self.digests.get(METRICS):
            return raw, f"{METRICS} is not the file that was fetched: its digest differs."
        return raw, ""

    def result(self) -> RunResult | None:
        """The run's result; None if it is missing, changed or unreadable."""
        raw = read_regular(self.path / SUMMARY, _MAX_JSON_BYTES)
        if raw is None or sha256_bytes(raw) != self.digests.get(SUMMARY):
            return None
        try:
            return RunResult.from_json(parsed(raw))
        except Malformed:
            return None

    def log_tail(self, lines: int) -> str:
        """The last lines of the run's log, as plain text; empty without one."""
        raw = read_regular(self.path / LOG, _TAIL_BYTES, from_end=True)
        if raw is None:
            return ""
        whole = readable(raw.decode("utf-8", "replace")).rstrip("\n").split("\n")
        return "\n".join(whole[-lines:])


def find_run(
    flow_dir: Path, project_dir: str, run_id: str, campaign_id: str, stated: Stated | None
) -> FetchedRun | None:
    """The run that belongs to the flow in `flow_dir`, if it is on this machine.

    `stated` is the run in the flow's evidence. Without it, the run is searched in the usual
    folder. The copy whose commit record the evidence names counts, otherwise one of
    the flow's campaign.
    """
    if not ids.is_id(run_id):
        return None
    own, found = _own_digests(flow_dir, run_id, stated), None
    for path in _places(flow_dir, project_dir, run_id, stated):
        raw = read_regular(path / COMMIT_RECORD, _MAX_JSON_BYTES)
        record = parsed(raw or b"")
        if raw is None or record.get("run_id") != run_id:
            continue
        if record.get("campaign_id") != campaign_id:
            continue
        digests = own or _digests(record)
        if stated is None or sha256_bytes(raw) == stated.sha256:
            return FetchedRun(path, digests, _problems(record))
        found = found or FetchedRun(path, digests, _problems(record))
    return found


def _own_digests(flow_dir: Path, run_id: str, stated: Stated | None) -> dict[str, str]:
    """The digests in the flow's own copy of the commit record; empty if there is none.

    The record beside the results may have been changed together with them.
    """
    raw = read_regular(flow_dir / record_name(run_id), _MAX_JSON_BYTES) or b""
    if stated is None or sha256_bytes(raw) != stated.sha256:
        return {}
    return _digests(parsed(raw))


def _digests(record: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each file of a commit record."""
    return {
        str(f["path"]): str(f.get("sha256"))
        for f in record.get("files") or ()
        if isinstance(f, dict) and "path" in f
    }


def _problems(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Problems of the copy as a whole in a commit record."""
    problems = record.get("problems")
    return tuple(map(str, problems)) if isinstance(problems, list) else ()


def _places(flow_dir: Path, project_dir: str, run_id: str, stated: Stated | None) -> Iterator[Path]:
    """Possible paths of the run: as recorded, in a moved project, and the usual one."""
    found = []
    if stated is not None:
        recorded = Path(stated.path)
        found.append(recorded)
        if project_dir and recorded.is_relative_to(project_dir):
            inside = recorded.relative_to(project_dir)
            found.extend(parent / inside for parent in list(flow_dir.parents)[:_MAX_PARENTS])
    found.append(flow_dir.parent.parent / "runs" / run_id)
    for path in dict.fromkeys(found):
        if path.name == run_id:
            yield path
            # a copy that a later fetch replaced
            yield from sorted((path.parent / SUPERSEDED).glob(f"*/{run_id}"))


def read_regular(path: Path, most_bytes: int, *, from_end: bool = False) -> bytes | None:
    """At most `most_bytes` of a regular file, without following links; None for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        with os.fdopen(fd, "rb") as f:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                return None
            if from_end and info.st_size > most_bytes:
                f.seek(-most_bytes, os.SEEK_END)
            return f.read(most_bytes)
    except OSError:
        return None


def parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`, parsed strictly; empty for anything else."""
    try:
        value = parse_json(raw, _MAX_JSON_BYTES)
    except BadJson:
        return {}
    return value if isinstance(value, dict) else {}
