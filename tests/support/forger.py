"""One who may write a flow's folder and has no key: changes records, and makes all fit again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_wf.evidence import chain
from pytest_wf.evidence.event_reader import EVENTS, event_line
from pytest_wf.evidence.signing import SIGNED, SigningKey
from pytest_wf.evidence.summary import recomputed
from pytest_wf.wire.files import parse_json, pretty_json, sha256_bytes, sha256_file


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    path.write_bytes(pretty_json({**parse_json(path.read_bytes()), **changes}))


def reclose(folder: Path, *, keep: bool = False, key: SigningKey | None = None) -> None:
    """Compute every digest of the folder anew, from the events to the summary and the views.

    The signatures, which no longer fit, are taken away, unless they are to be kept or made
    with a key of the forger's own.
    """
    envelopes = (chain.SIGNATURE, chain.VIEWS_SIGNATURE, chain.PROVENANCE_SIGNATURE)
    for name in () if keep else envelopes:
        (folder / name).unlink(missing_ok=True)
    _rechain(folder)
    path = folder / chain.SUMMARY
    stated = parse_json(path.read_bytes())
    path.unlink()
    if key is not None:
        _sign(folder, chain.START, key)
    views = folder / chain.VIEWS
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    signer = stated["signed_by"] if keep else None
    signer = key.signer.model_dump(mode="json") if key else signer
    summary = recomputed(files).model_dump(mode="json")
    later = (chain.VIEWS, chain.SIGNATURE, chain.VIEWS_SIGNATURE)
    summary["files"] = {n: sha256_bytes(raw) for n, raw in files.items() if n not in later}
    summary["chain_head"] = chain.last_head(summary["files"])
    summary["has_views"] = stated["has_views"] and views.exists()
    write(path, {**summary, "signed_by": signer})
    if views.exists():
        record = parse_json(views.read_bytes())
        write(views, {**record, "summary_sha256": sha256_file(str(path)), "signed_by": signer})
    if key is not None:
        for name in (chain.SUMMARY, chain.VIEWS):
            _sign(folder, name, key)


def _sign(folder: Path, name: str, key: SigningKey) -> None:
    if (folder / name).exists():
        envelope, kind = SIGNED[name]
        (folder / envelope).write_bytes(key.sign((folder / name).read_bytes(), kind))


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a record with the digest that it states of itself."""
    record["digest"] = chain.own_digest(record)
    path.write_bytes(pretty_json(record))


def _rechain(folder: Path) -> None:
    """The events and the verdicts, each of which states the other's digests."""
    lines: list[bytes] = []
    before: str | None = None
    for line in (folder / EVENTS).read_bytes().splitlines():
        event = parse_json(line)
        previous = sha256_bytes(lines[-1]) if lines else None
        event.update(seq=len(lines) + 1, previous_sha256=previous)
        if (event["kind"], event["op"]) == ("intent", "flow"):
            event["facts"]["start_sha256"] = sha256_file(str(folder / chain.START))
        if (event["kind"], event["op"]) == ("outcome", "phase"):
            before = _verdict(folder, event["phase"], before, lines)
            event["facts"]["verdict_sha256"] = before
        lines.append(event_line(event))
    (folder / EVENTS).write_bytes(b"".join(lines))


def rechain_verdicts(folder: Path) -> None:
    """The verdicts alone, of a flow without events of its phases."""
    before = None
    for path in sorted(folder.glob("phase.*.verdict.json")):
        before = _verdict(folder, path.name.split(".")[1], before, [])


def _verdict(folder: Path, code: str, before: str | None, lines: list[bytes]) -> str:
    """Write a phase's verdict anew; its digest."""
    files = {kind: folder / chain.phase_file(code, kind) for kind in chain.KINDS}
    digest = sha256_file(str(files["evidence"]))
    for kind in ("deterministic", "constitutional"):
        edit(files[kind], evidence_sha256=digest)
    stated = {f"{kind}_sha256": sha256_file(str(files[kind])) for kind in chain.KINDS[:-1]}
    count = parse_json(files["verdict"].read_bytes())["events_count"]
    if lines:
        stated["events_sha256"] = sha256_bytes(lines[count - 1])
    edit(files["verdict"], **stated, previous_verdict_sha256=before)
    return sha256_file(str(files["verdict"]))
