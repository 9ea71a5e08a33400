"""The hash chain over a flow's folder: names, digests, and what breaks them.

Each verdict names the digests of its phase's other files and of the verdict before;
`flow.summary.json` names every file and its own digest. Digests cover raw bytes. Whoever
holds the folder can forge all of it together: only a head that is kept elsewhere (the
terminal, JUnit) shows that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_wf.wire.files import BadJson, canonical_json, parse_json, pretty_json, sha256_bytes

__all__ = [
    "KINDS",
    "START",
    "SUMMARY",
    "Finding",
    "examine",
    "own_digest",
    "phase_file",
    "phase_of",
]

START = "flow.start.json"
SUMMARY = "flow.summary.json"

#: The four files of a phase, in the order in which they are written.
KINDS = ("evidence", "deterministic", "constitutional", "verdict")

_PHASE_FILE = re.compile(rf"phase\.(P[0-9]{{2}})\.({'|'.join(KINDS)})\.json")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a flow's folder, and the file that it is wrong with."""

    file: str
    #: 'changed', 'removed', 'added' or 'inconsistent'.
    problem: str
    detail: str = ""

    def __str__(self) -> str:
        said = f"{self.file}: {self.problem}"
        return f"{said}: {self.detail}" if self.detail else said


def phase_file(code: str, kind: str) -> str:
    """Name of a phase's file, such as ``phase.P40.verdict.json``."""
    return f"phase.{code}.{kind}.json"


def phase_of(name: str) -> tuple[str, str] | None:
    """Phase code and kind of a file's name; None for another file."""
    match = _PHASE_FILE.fullmatch(name)
    return None if match is None else (match[1], match[2])


def own_digest(summary: Mapping[str, Any]) -> str:
    """The digest that a summary states of itself: of all its fields but that one."""
    return sha256_bytes(canonical_json({k: v for k, v in summary.items() if k != "digest"}))


def examine(digests: Mapping[str, str], documents: Mapping[str, bytes]) -> list[Finding]:
    """Everything that is wrong with a folder, each file named at most once per problem.

    `digests` has the SHA-256 of every file by its name, `documents` the raw bytes of the
    chain's own files.
    """
    return sorted(_Examination(digests, documents).findings(), key=lambda f: (f.file, f.problem))


class _Examination:
    def __init__(self, digests: Mapping[str, str], documents: Mapping[str, bytes]) -> None:
        self._digests = digests
        self._documents = documents
        #: Files already named, whose content proves nothing any more.
        self._distrusted: set[str] = set()
        codes = {part[0] for part in map(phase_of, digests) if part}
        self._codes = sorted(codes)

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
                "the flow has not ended, or the file was taken away"
                if missing
                else "it does not have the digest that it states of itself",
            )
        else:
            yield from self._against(summary["files"])
        if START not in self._digests:
            yield Finding(START, "removed")
        yield from self._phases()
        yield from self._links()
        if summary is not None:
            yield from self._closing(summary)

    def _intact_summary(self) -> dict[str, Any] | None:
        summary = self._parsed(SUMMARY)
        if summary is None or not isinstance(summary.get("files"), dict):
            return None
        whole = pretty_json(summary) == self._documents[SUMMARY]
        return summary if whole and own_digest(summary) == summary.get("digest") else None

    def _against(self, stated: Mapping[str, Any]) -> Iterator[Finding]:
        """Every file against the summary's list."""
        for name in sorted({*stated, *self._digests} - {SUMMARY}):
            if name not in self._digests:
                yield Finding(name, "removed")
            elif name not in stated:
                yield Finding(name, "added")
            elif self._digests[name] != stated[name]:
                yield _changed(name, stated[name], self._digests[name])

    def _phases(self) -> Iterator[Finding]:
        """Each phase's other files against its verdict, the last phase first."""
        for code in reversed(self._codes):
            name = phase_file(code, "verdict")
            if name not in self._digests:
                yield Finding(name, "removed")
                continue
            verdict = self._parsed(name)
            if verdict is None:
                yield Finding(name, "changed", "it is no JSON object")
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
        """Whether the next phase's verdict, where it can be believed, states another digest."""
        later = [c for c in self._codes if c > code]
        if not later:
            return False
        name = phase_file(later[0], "verdict")
        following = self._parsed(name)
        if following is None or name in self._distrusted:
            return False
        stated = following.get("previous_verdict_sha256")
        return bool(stated != self._digests[phase_file(code, "verdict")])

    def _sense(self, code: str, verdict: Mapping[str, Any]) -> Iterator[Finding]:
        """What the verdict says against what its two layers say."""
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
        """Each verdict against the one before."""
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
        """The summary's phases and head against the verdicts."""
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
            value = parse_json(self._documents[name])
        except (KeyError, BadJson):
            return None
        return value if isinstance(value, dict) else None


def _changed(name: str, stated: object, actual: object) -> Finding:
    return Finding(name, "changed", f"its SHA-256 is {actual}, recorded was {stated}")
