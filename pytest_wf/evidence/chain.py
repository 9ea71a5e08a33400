"""The hash chain of a flow's folder: names, digests, and findings.

Each verdict contains the digests of its phase's other files and of the verdict before, and
the number of lines in `events.jsonl` (`evidence.event_reader`). `flow.summary.json` names every
file and its own digest. Digests are over raw bytes. Anyone with write access to the folder can
forge all of it: only a head kept elsewhere (the terminal, JUnit, the pod) or a signature reveals
that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_wf.evidence.event_reader import EVENTS, EventsRead, read_events
from pytest_wf.evidence.folder import MAX_RECORD_BYTES
from pytest_wf.wire.files import BadJson, canonical_json, parse_json, pretty_json, sha256_bytes

START = "flow.start.json"
#: Signs the start record once P00 has read the key, so that a killed flow can be verified, too.
START_SIGNATURE = "flow.start.dsse.json"
SUMMARY = "flow.summary.json"
#: Signs the summary, and so is the one file that the summary cannot name.
SIGNATURE = "flow.summary.dsse.json"
#: The views drawn after the summary was written, and their signature; the summary announces both.
VIEWS = "flow.views.json"
VIEWS_SIGNATURE = "flow.views.dsse.json"
#: The members of a flow on several pods, and the folder with a folder for each.
FLEET = "fleet.json"
MEMBERS = "pods"
#: The statement about fetched files, and its signed form.
PROVENANCE = "provenance.intoto.json"
PROVENANCE_SIGNATURE = "provenance.intoto.dsse.json"

#: The four files of a phase, in the order in which they are written.
KINDS = ("evidence", "deterministic", "constitutional", "verdict")

_PHASE_FILE = re.compile(rf"phase\.(P[0-9]{{2}})\.({'|'.join(KINDS)})\.json")
_MAX_SHOWN_CHARS = 1000
_LATE = "it was taken away, or pytest was killed before it wrote it"
#: The problem of a `Finding` that is not an error.
NOT_HERE = "not here"


@dataclass(frozen=True)
class Finding:
    """One error in a flow's folder, and the file that it is in."""

    file: str
    #: 'changed', 'removed', 'added', 'reordered', 'torn', 'cut', 'unreadable' or 'inconsistent';
    #: `NOT_HERE` is not an error: the file is elsewhere, or another flow replaced it.
    problem: str
    detail: str = ""

    def __str__(self) -> str:
        said = f"{self.file}: {self.problem}"
        return one_line(f"{said}: {self.detail}" if self.detail else said)


def one_line(text: str) -> str:
    """`text` as one line for a terminal: control characters escaped, cut if long."""
    shown = text[:_MAX_SHOWN_CHARS]
    plain = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown
    )
    return plain if len(text) <= _MAX_SHOWN_CHARS else f"{plain}..."


def phase_file(code: str, kind: str) -> str:
    """The name of a phase's file, such as ``phase.P40.verdict.json``."""
    return f"phase.{code}.{kind}.json"


def phase_of(name: str) -> tuple[str, str] | None:
    """Phase code and kind of a file's name; None for another file."""
    match = _PHASE_FILE.fullmatch(name)
    return None if match is None else (match[1], match[2])


def is_flow(names: Collection[str]) -> bool:
    """Whether any of these names of files is a flow's."""
    own = (START, SUMMARY, EVENTS)
    return any(name in names for name in own) or any(phase_of(name) for name in names)


def own_digest(record: Mapping[str, Any]) -> str:
    """The digest that a record has of itself: over all other fields."""
    return sha256_bytes(canonical_json({k: v for k, v in record.items() if k != "digest"}))


def states_itself(record: Mapping[str, Any], raw: bytes) -> bool:
    """Whether `raw` is the serialized `record`, and the record has its own digest."""
    try:
        return pretty_json(record) == raw and own_digest(record) == record.get("digest")
    except (ValueError, RecursionError):
        return False


def examine(digests: Mapping[str, str], documents: Mapping[str, bytes]) -> list[Finding]:
    """All findings in a folder, each file named at most once per problem.

    `digests` has the SHA-256 of every file by its name, `documents` the raw bytes of the
    chain's own files.
    """
    return sorted(_Examination(digests, documents).findings(), key=lambda f: (f.file, f.problem))


class _Examination:
    def __init__(self, digests: Mapping[str, str], documents: Mapping[str, bytes]) -> None:
        self._digests = digests
        self._documents = documents
        #: Files with findings, whose content proves nothing any more.
        self._distrusted: set[str] = set()
        codes = {part[0] for part in map(phase_of, digests) if part}
        self._codes = sorted(codes)
        self._log = read_events(documents.get(EVENTS, b""))

    def findings(self) -> list[Finding]:
        found = []
        for finding in self._all():
            if finding.problem == "inconsistent" or finding.file not in self._distrusted:
                found.append(finding)
            if finding.problem != "inconsistent":
                self._distrusted.add(finding.file)
        return found

    def _all(self) -> Iterator[Finding]:
        summary = self._intact_summary()
        if summary is None:
            missing = SUMMARY not in self._digests
            yield Finding(
                SUMMARY,
                "removed" if missing else "changed",
                self._why_unended()
                if missing
                else "it does not have the digest that it states of itself",
            )
        yield from self._chained(is_closed=summary is not None)
        if summary is not None:
            yield from self._against(summary)
        if START not in self._digests:
            yield Finding(START, "removed")
        yield from self._phases()
        yield from self._links()
        yield from self._bound()
        if summary is not None:
            yield from self._closing(summary)

    def _intact_summary(self) -> dict[str, Any] | None:
        summary = self._parsed(SUMMARY)
        if summary is None or not _has_its_shape(summary):
            return None
        return summary if states_itself(summary, self._documents[SUMMARY]) else None

    def _why_unended(self) -> str:
        """Why there may be no summary, according to the events."""
        if self._log.has_ended:
            return "the flow ended, and the file was taken away or could not be written"
        begun = [e for e in self._log.open_intents if e.get("op") != "flow"]
        if not begun:
            return "the flow has not ended, or the file was taken away"
        last = begun[-1]
        phase = f" in {last.get('phase')}" if last.get("op") != "phase" else ""
        what = last.get("phase") if last.get("op") == "phase" else last.get("op")
        return (
            f"the flow has not ended, or the file was taken away; event {last.get('seq')} has no "
            f"outcome: {what}{phase} was under way"
        )

    def _chained(self, *, is_closed: bool) -> Iterator[Finding]:
        """Findings in the events alone."""
        if self._log.broken is not None:
            yield Finding(EVENTS, *self._log.broken)
        elif self._log.torn and is_closed:
            yield Finding(EVENTS, "changed", "its last line was cut, and the flow went on to end")
        elif self._log.torn:
            said = "its last line was cut in the middle, by a crash or by hand"
            yield Finding(EVENTS, "torn", said)

    def _bound(self) -> Iterator[Finding]:
        """Compare the events and the verdicts, which record the number of lines."""
        log = self._log
        if EVENTS in self._distrusted:
            return
        for code in self._codes:
            name = phase_file(code, "verdict")
            verdict = self._trusted(name)
            count = verdict.get("events_count") if verdict is not None else None
            if verdict is None or not isinstance(count, int) or count < 1:
                continue
            if EVENTS not in self._digests:
                yield Finding(EVENTS, "removed", f"{name} records {count} lines of it")
                return
            if count > len(log.events):
                said = f"it has {len(log.events)} whole lines, and had {count} when {code} ended"
                yield Finding(EVENTS, "changed", said)
                return
            if log.digests[count - 1] != verdict.get("events_sha256"):
                said = f"event {count} is not the one that {name} records"
                yield Finding(EVENTS, "changed", said)
                return
        yield from self._told_by_events(log)

    def _told_by_events(self, log: EventsRead) -> Iterator[Finding]:
        for event in log.events:
            facts = event.get("facts")
            facts = facts if isinstance(facts, dict) else {}
            if (event["kind"], event["op"]) == ("outcome", "phase"):
                name = phase_file(str(event.get("phase")), "verdict")
                stated = facts.get("verdict_sha256")
            elif (event["kind"], event["op"]) == ("intent", "flow"):
                name, stated = START, facts.get("start_sha256")
            else:
                continue
            if not stated or name in self._distrusted:
                continue
            actual = self._digests.get(name)
            if actual is None:
                yield Finding(name, "removed", f"event {event['seq']} records it")
            elif actual != stated:
                yield _changed(name, stated, actual)

    def _against(self, summary: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare every file with the summary's list."""
        stated = summary["files"]
        signed = written_later(summary)
        by_digest = {digest: name for name, digest in stated.items()}
        for name in sorted({*stated, *self._digests, *signed} - {SUMMARY}):
            actual = self._digests.get(name)
            if actual is None:
                yield Finding(name, "removed", _LATE if name == VIEWS else "")
            elif name in signed:
                continue  # written after the summary, and examined separately
            elif name not in stated:
                yield Finding(name, "added")
            elif actual in by_digest and actual != stated[name]:
                yield Finding(name, "reordered", f"it has what {by_digest[actual]} had")
            elif actual != stated[name]:
                yield _changed(name, stated[name], actual)

    def _phases(self) -> Iterator[Finding]:
        """Compare each phase's other files with its verdict, the last phase first."""
        for code in reversed(self._codes):
            name = phase_file(code, "verdict")
            if name not in self._digests:
                yield Finding(name, "removed")
                continue
            verdict = self._parsed(name)
            if verdict is None:
                yield Finding(name, "changed", "it is not a JSON object")
                continue
            if name in self._distrusted or self._is_disowned(code):
                continue
            for kind in KINDS[:-1]:
                other = phase_file(code, kind)
                stated = verdict.get(f"{kind}_sha256")
                actual = self._digests.get(other)
                if actual is None and stated:
                    yield Finding(other, "removed")
                elif actual != (stated or None):
                    yield _changed(other, stated, actual)
            yield from self._sense(code, verdict)

    def _is_disowned(self, code: str) -> bool:
        """Whether the next phase's verdict, if it is valid, has another digest."""
        later = [c for c in self._codes if c > code]
        following = self._trusted(phase_file(later[0], "verdict")) if later else None
        own = self._digests[phase_file(code, "verdict")]
        return following is not None and following.get("previous_verdict_sha256") != own

    def _sense(self, code: str, verdict: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare the verdict with the results of its two layers."""
        name = phase_file(code, "verdict")
        layers = [verdict.get("deterministic"), verdict.get("constitutional")]
        if verdict.get("phase_pass") is not (layers == ["pass", "pass"]):
            yield Finding(name, "inconsistent", "phase_pass is not the AND of its two layers")
        court = self._trusted(phase_file(code, "deterministic"))
        if court is not None and (court.get("passed") is True) != (layers[0] == "pass"):
            yield Finding(name, "inconsistent", "the deterministic report says otherwise")
        auditor = self._trusted(phase_file(code, "constitutional"))
        if auditor is not None and auditor.get("verdict") != layers[1]:
            yield Finding(name, "inconsistent", "the constitutional report says otherwise")

    def _links(self) -> Iterator[Finding]:
        """Compare each verdict with the one before."""
        names = [phase_file(code, "verdict") for code in self._codes]
        before: str | None = None
        for name in names:
            verdict = self._parsed(name)
            if verdict is not None and name not in self._distrusted:
                stated = verdict.get("previous_verdict_sha256")
                actual = None if before is None else self._digests.get(before)
                if stated != actual and before not in self._distrusted:
                    said = f"the chain breaks between it and {name}: this one was changed, or a "
                    yield Finding(before or name, "changed", said + "phase between them removed")
            before = name

    def _closing(self, summary: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare the summary's phases and head with the verdicts."""
        verdicts = {c: self._digests.get(phase_file(c, "verdict")) for c in self._codes}
        last = phase_file(self._codes[-1], "verdict") if self._codes else None
        head = None if last is None else self._digests.get(last)
        if summary.get("chain_head") != head and last not in self._distrusted:
            yield Finding(SUMMARY, "inconsistent", "chain_head is not the last verdict's digest")
        for phase in summary.get("phases") or ():
            stated = phase.get("verdict_sha256")
            name = phase_file(str(phase.get("code")), "verdict")
            differs = stated and stated != verdicts.get(phase.get("code"))
            if differs and name not in self._distrusted:
                yield Finding(SUMMARY, "inconsistent", f"it states another digest of {name}")

    def _trusted(self, name: str) -> dict[str, Any] | None:
        return None if name in self._distrusted else self._parsed(name)

    def _parsed(self, name: str) -> dict[str, Any] | None:
        try:
            value = parse_json(self._documents[name], MAX_RECORD_BYTES)
        except (KeyError, BadJson):
            return None
        return value if isinstance(value, dict) else None


def _has_its_shape(summary: Mapping[str, Any]) -> bool:
    files, phases = summary.get("files"), summary.get("phases", [])
    return (
        isinstance(files, dict)
        and all(isinstance(digest, str) for digest in files.values())
        and isinstance(phases, list)
        and all(isinstance(p, dict) and isinstance(p.get("code"), str) for p in phases)
    )


def written_later(summary: Mapping[str, Any]) -> set[str]:
    """Files that the summary announces and cannot name, as they are written after it."""
    later = {SIGNATURE} if summary.get("signed_by") else set()
    if summary.get("has_views") is True:
        later |= {VIEWS, VIEWS_SIGNATURE} if summary.get("signed_by") else {VIEWS}
    return later


def last_head(digests: Mapping[str, str]) -> str | None:
    """The digest of the last phase's verdict: the chain's head in the files as they are."""
    names = sorted(name for name in digests if (phase_of(name) or ("", ""))[1] == "verdict")
    return digests[names[-1]] if names else None


def _changed(name: str, stated: object, actual: object) -> Finding:
    return Finding(name, "changed", f"its SHA-256 is {actual}, recorded was {stated}")
