"""`wf verify`: recompute every digest of a flow's folder and say what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence import chain
from pytest_wf.evidence.event_reader import EVENTS
from pytest_wf.evidence.fetch_record import COMMIT_RECORD, record_name, superseded_path
from pytest_wf.evidence.store import files_of
from pytest_wf.wire.files import BadJson, parse_json, sha256_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True)
class VerifyResult:
    """What verification found. `ok` is True only for a folder with a closed, whole chain."""

    ok: bool
    #: One line for each file that was changed, removed or added, beginning with its name.
    findings: list[str]
    #: Artifacts outside of the folder that cannot be seen from here; no fault of theirs.
    not_here: list[str]
    #: The chain's head as the files have it now: the digest of the last verdict.
    head: str | None = None
    #: Id of the key that the summary names as its signer's; '' where it is not signed.
    key_id: str = ""


def verify_flow(
    folder: Path, *, head: str | None = None, public_key: Ed25519PublicKey | None = None
) -> VerifyResult:
    """Verify the flow in `folder`, which may be a copy that was carried elsewhere.

    Recomputes the digests of all files, the chain of verdicts, and the artifacts that the
    evidence names: one inside the folder must be there, one outside of it may be absent. With
    `head`, a digest that was kept elsewhere, the chain has to end in it; with `public_key` the
    summary has to be signed by that key.
    Never raises for what it finds in there, only OSError where the folder is none.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    digests: dict[str, str] = {}
    documents: dict[str, bytes] = {}
    findings: list[str] = []
    for name, path in files_of(folder).items():
        if path.is_symlink() or not path.is_file():
            findings.append(f"{name}: changed: it is no regular file")
            digests[name] = ""
            continue
        try:
            digests[name] = sha256_file(str(path))
            if name in (chain.START, chain.SUMMARY, chain.SIGNATURE, EVENTS) or chain.phase_of(
                name
            ):
                documents[name] = path.read_bytes()
        except OSError as e:
            findings.append(f"{name}: unreadable: {e.strerror}")
            digests[name] = ""
    named = {line.partition(":")[0] for line in findings}
    found = chain.examine(digests, documents)
    is_whole = chain.SUMMARY not in {f.file for f in found} | named
    if public_key is not None or chain.SIGNATURE in documents:
        from pytest_wf.evidence.signing import signature_findings

        signed = signature_findings(documents, public_key, is_whole=is_whole)
        found += [f for f in signed if f.file not in {g.file for g in found}]
    if head is not None:
        found += _against_head(head, digests, documents)
    findings += [str(f) for f in found if f.file not in named or f.problem == "inconsistent"]
    named |= {f.file for f in found}
    not_here: list[str] = []
    for line, is_finding in _artifacts(folder, documents, named):
        if line not in findings + not_here:
            (findings if is_finding else not_here).append(line)
    summary = _parsed(documents.get(chain.SUMMARY))
    signer = summary.get("signed_by")
    key_id = _text(signer, "key_id") if isinstance(signer, dict) and is_whole else ""
    return VerifyResult(not findings, findings, not_here, chain.last_head(digests), key_id)


def _against_head(
    head: str, digests: Mapping[str, str], documents: Mapping[str, bytes]
) -> list[chain.Finding]:
    """A chain that was cut or replaced as a whole fits itself, and not what was kept of it."""
    own = chain.last_head(digests)
    summary = _text(_parsed(documents.get(chain.SUMMARY)), "digest")
    if head in (own, summary):
        return []
    last = max((n for n in digests if (chain.phase_of(n) or ("", ""))[1] == "verdict"), default="")
    said = f"the chain was cut or replaced: it ends in {own}, and the head kept is {head}"
    return [chain.Finding(last or chain.SUMMARY, "cut", said)]


def _artifacts(
    folder: Path, documents: Mapping[str, bytes], named: set[str]
) -> Iterator[tuple[str, bool]]:
    """A line for each artifact that is not as its evidence says, and whether it is a finding."""
    project = _text(_parsed(documents.get(chain.START)), "project_dir")
    for name in sorted(documents):
        part = chain.phase_of(name)
        if part is None or part[1] != "evidence" or name in named:
            continue
        evidence = _parsed(documents[name])
        listed = evidence.get("artifacts")
        for artifact in listed if isinstance(listed, list) else []:
            if isinstance(artifact, dict):
                yield from _artifact(folder, project, _text(evidence, "flow_id"), artifact, named)
        yield from _results(folder, evidence, named)


def _artifact(
    folder: Path, project: str, flow_id: str, artifact: Mapping[str, Any], named: set[str]
) -> Iterator[tuple[str, bool]]:
    path, stated = _text(artifact, "path"), artifact.get("sha256")
    if artifact.get("where") == "pod":
        yield f"{path} (on the pod)", False
        return
    inside = _inside(path, flow_id)
    if inside is not None and (folder / inside).is_file():
        place = folder / inside
    elif inside is not None and path.startswith("/"):
        if inside not in named:
            yield f"{inside}: removed: {artifact.get('role')} of a phase", True
        return
    else:
        place = Path(path) if path.startswith("/") else Path(project or folder) / path
    try:
        actual = _digest(place)
    except (OSError, ValueError):
        yield path, False
        return
    if actual != stated and inside not in named:
        yield f"{path}: changed: its SHA-256 is {actual}, recorded was {stated}", True


def _results(
    folder: Path, evidence: Mapping[str, Any], named: set[str]
) -> Iterator[tuple[str, bool]]:
    """A line for each fetched file that is not as the flow's own copy of the record says.

    A copy that a later fetch has replaced is looked for where it moved to.
    """
    facts = evidence.get("facts")
    runs = facts.get("runs") if isinstance(facts, dict) else None
    for run_id, run in (runs if isinstance(runs, dict) else {}).items():
        if record_name(str(run_id)) in named or not isinstance(run, dict):
            continue  # what it says of the files is no longer what was recorded
        record = _file_record(folder / record_name(str(run_id)))
        place = _place_of(Path(_text(run, "path")), record)
        listed = record.get("files")
        if place is None or not isinstance(listed, list):
            yield f"{_text(run, 'path')} (fetched run)", False
            continue
        for file in (f for f in listed if isinstance(f, dict)):
            path = place / _text(file, "path")
            try:
                actual = _digest(path)
            except (OSError, ValueError):
                yield f"{path}: removed: a fetched result", True
                continue
            if actual != file.get("sha256"):
                yield f"{path}: changed: its SHA-256 is {actual}", True


def _digest(place: Path) -> str:
    """A folder may name any path, and of a pipe or a device there is no end.

    Raises OSError, also for what is no regular file, and ValueError for what is no path.
    """
    if not place.is_file():
        raise FileNotFoundError(str(place))
    return sha256_file(str(place))


def _place_of(place: Path, record: Mapping[str, Any]) -> Path | None:
    """Where the copy of a run is whose commit record is `record`; None where it is not here."""
    moved = superseded_path(place, _text(record, "flow_id") or "unknown")
    for candidate in (place, moved) if place.name else ():
        if record and _file_record(candidate / COMMIT_RECORD) == record:
            return candidate
    return None


def _file_record(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return {}


def _inside(path: str, flow_id: str) -> str | None:
    """The name inside of the flow's folder that `path` has, wherever the folder stood."""
    if not path.startswith("/"):
        return path
    _, mark, rest = path.partition(f"/{flow_id}/")
    return rest if mark and flow_id else None


def _parsed(raw: bytes | None) -> dict[str, Any]:
    try:
        value = parse_json(raw or b"")
    except BadJson:
        return {}
    return value if isinstance(value, dict) else {}


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
