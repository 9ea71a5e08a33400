"""`wf verify`: recompute a flow's evidence and report what was changed.

Only the chain is trusted and, with a key, its signatures. Files outside the
flow's folder (fetched runs, views, artifacts) are compared with the records in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf.evidence import chain
from pytest_wf.evidence.chain import NOT_HERE, Finding
from pytest_wf.evidence.fetch_record import record_name
from pytest_wf.evidence.fetched_runs import run_findings
from pytest_wf.evidence.folder import Documents, digest_of, files_of, parsed, text_of
from pytest_wf.evidence.place import Place
from pytest_wf.evidence.store import plain_json
from pytest_wf.evidence.summary import differences, recomputed
from pytest_wf.evidence.views import view_findings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_FLOW_ID = re.compile(r"f-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_MOST_SHOWN = 1000


class NoFlow(OSError):
    """A folder without a flow's evidence, or not a folder."""


@dataclass(frozen=True)
class VerifyResult:
    """The result of verification. `ok` is True only for a folder with a complete, closed chain."""

    ok: bool
    #: One line for each file that was changed, removed or added, beginning with its name.
    findings: list[str]
    #: Files that the evidence names and that are not here, as they are elsewhere or a later flow
    #: replaced them; not an error.
    not_here: list[str]
    #: Views that are unchanged.
    views: list[str]
    #: The flow's id in its records; '' if they have none.
    flow_id: str
    #: The chain's head in the files as they are: the digest of the last verdict.
    head: str | None = None
    #: Id of the key that the summary names as its signer's; '' if it is not signed.
    key_id: str = ""


def verify_flow(
    folder: Path,
    *,
    head: str | None = None,
    public_key: Ed25519PublicKey | None = None,
    with_views: bool = True,
) -> VerifyResult:
    """Verify the flow in `folder`, which may be a copy in another place.

    Recomputes the digests of all files, the chain of verdicts, the summary, and the files that the
    evidence names outside the folder: these must be as recorded, or all be absent. With `head`, a
    digest that was kept elsewhere, the chain must end in it; with `public_key`, everything must be
    signed by that key. Without `with_views`, views do not count. Never raises for a finding;
    raises NoFlow if the folder has nothing of a flow, and OSError if it cannot be read.
    """
    check = _Check(folder, public_key, with_views=with_views)
    for step in (lambda: check.chain(head), check.summary, check.outside, check.views):
        check.guarded(step)
    return _with_members(folder, check.result(), public_key)


def _with_members(
    folder: Path, whole: VerifyResult, public_key: Ed25519PublicKey | None
) -> VerifyResult:
    """The findings of a flow and of each of its members, prefixed with the member's name."""
    names = [*whole.findings], [*whole.not_here]
    for member in sorted(p for p in (folder / chain.MEMBERS).glob("*") if p.is_dir()):
        prefix = f"{chain.MEMBERS}/{member.name}"
        try:
            found = verify_flow(member, public_key=public_key)
        except NoFlow:
            names[0].append(f"{prefix}: removed: it has nothing of a flow")
            continue
        known = {line.partition(": ")[0] for line in names[0]}
        lines = [f"{prefix}/{line}" for line in found.findings]
        names[0].extend(line for line in lines if line.partition(": ")[0] not in known)
        names[1].extend(f"{member.name}: {line}" for line in found.not_here)
    findings, not_here = names
    return replace(whole, ok=not findings, findings=findings, not_here=not_here)


class _Check:
    """One verification: the files that were read, and the findings so far."""

    def __init__(
        self, folder: Path, public_key: Ed25519PublicKey | None, *, with_views: bool
    ) -> None:
        if not folder.is_dir():
            raise NoFlow(f"{folder} is not a folder")
        self._folder = folder.absolute()
        self._key = public_key
        #: Files that are not checked.
        self._ignored = set() if with_views else {chain.VIEWS, chain.VIEWS_SIGNATURE}
        self._found: list[Finding] = []
        #: Files with findings: their content proves nothing.
        self._named: set[str] = set()
        if not chain.is_flow([path.name for path in folder.iterdir()]):
            raise NoFlow(f"{folder} has no flow's evidence")  # before a large tree is walked
        paths = files_of(folder)
        self._digests = {name: self._digest(name, path) for name, path in paths.items()}
        self._documents = Documents(paths, self._digests)
        self._summary = parsed(self._documents.get(chain.SUMMARY))
        start = parsed(self._documents.get(chain.START))
        self._place = Place(self._folder, start, public_key)

    def _digest(self, name: str, path: Path) -> str:
        try:
            return digest_of(path)[0]
        except OSError as e:
            self._add([Finding(name, "changed", e.strerror or str(e))])
            return ""

    def _add(self, found: Iterable[Finding]) -> None:
        """Keep findings in files that have none yet, and all 'inconsistent' ones."""
        kept = [f for f in found if f.file not in self._named or f.problem == "inconsistent"]
        self._found += kept
        self._named |= {f.file for f in kept}

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; a record that is nested too deeply ends it with a finding."""
        try:
            step()
        except RecursionError:
            said = "a record in it is nested too deeply"
            self._add([Finding(self._folder.name, "unreadable", said)])

    def chain(self, head: str | None) -> None:
        """Check the folder's files against each other, its signatures, its name, and the head."""
        found = chain.examine(self._digests, self._documents)
        self._add(f for f in found if f.file not in self._ignored)
        flow_id = self._place.flow_id
        if flow_id and _FLOW_ID.fullmatch(self._folder.name) and self._folder.name != flow_id:
            said = f"it has the name of another flow, and contains flow {flow_id}"
            self._add([Finding(self._folder.name, "changed", said)])
        self._signature(chain.SUMMARY)
        if head is not None:
            self._found += _against_head(head, self._digests, self._documents)

    def summary(self) -> None:
        """Compare the summary with the records, if these are unchanged."""
        if any(chain.is_flow([name]) for name in self._named):
            return
        try:
            computed = plain_json(recomputed(self._documents).model_dump(mode="json"))
        except ValueError as e:
            self._add([Finding(chain.SUMMARY, "inconsistent", f"it cannot be recomputed: {e}")])
            return
        self._add(
            Finding(chain.SUMMARY, "inconsistent", line)
            for line in differences(self._summary, computed)
        )

    def _signature(self, name: str) -> None:
        """Check the signature of the summary or views, by the given key or the summary's own."""
        is_signed = chain.SUMMARY not in self._named and self._summary.get("signed_by")
        if self._key is None and not is_signed:
            return
        from pytest_wf.evidence.signing import own_key, signature_findings, signed_summary

        key = self._key or own_key(self._summary)
        if key is None:
            self._add([Finding(chain.SUMMARY, "inconsistent", "signed_by names no key")])
            return
        self._add(signature_findings(self._documents, name, key))
        if name == chain.SUMMARY:
            self._add(self._against_signed(signed_summary(self._documents, key)))

    def _against_signed(self, signed: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare files with the signed summary, if that differs from the present one."""
        stated = signed.get("files")
        if signed == self._summary or not isinstance(stated, dict):
            return
        later = chain.written_later(signed) | {chain.SUMMARY}
        for name in sorted({*stated, *self._digests} - later):
            actual = self._digests.get(name)
            if actual != stated.get(name):
                problem = "added" if name not in stated else "removed" if not actual else "changed"
                yield Finding(name, problem, f"compared to the summary in {chain.SIGNATURE}")

    def outside(self) -> None:
        """Check artifacts and fetched runs, as the evidence of each phase names them."""
        for name in self._documents:
            part = chain.phase_of(name)
            if part is not None and part[1] == "evidence" and name not in self._named:
                evidence = parsed(self._documents.get(name))
                self._add(self._artifacts(evidence))
                self._add(self._runs(evidence))

    def _artifacts(self, evidence: Mapping[str, Any]) -> Iterator[Finding]:
        listed = evidence.get("artifacts")
        for artifact in listed if isinstance(listed, list) else ():
            if isinstance(artifact, dict):
                yield from self._artifact(artifact)

    def _artifact(self, artifact: Mapping[str, Any]) -> Iterator[Finding]:
        path, stated = text_of(artifact, "path"), artifact.get("sha256")
        if artifact.get("where") == "pod":
            yield Finding(path, NOT_HERE, "on the pod")
            return
        inside = _inside(path, self._place.mark)
        if inside in self._digests:
            if self._digests[inside] not in (stated, "") and inside not in self._named:
                yield Finding(inside, "changed", f"recorded was {stated}")
            return
        if inside is not None and path.startswith("/"):
            yield Finding(inside, "removed", f"{artifact.get('role')} of a phase")
            return
        try:
            found = self._place.located(path)
            actual, size = digest_of(found, size=artifact.get("bytes"), follow=True)
        except (OSError, ValueError):
            yield Finding(path, NOT_HERE)
            return
        if actual != stated:
            said = f"its SHA-256 is {actual}" if actual else f"it has {size} bytes"
            yield Finding(path, "changed", f"{said}, recorded was {stated}")

    def _runs(self, evidence: Mapping[str, Any]) -> Iterator[Finding]:
        facts = evidence.get("facts")
        runs = facts.get("runs") if isinstance(facts, dict) else None
        for run_id, run in (runs if isinstance(runs, dict) else {}).items():
            name = _record_of(evidence, run_id)
            if name not in self._named and isinstance(run, dict):
                record = self._documents.get(name)
                yield from run_findings(self._place, run_id, text_of(run, "path"), record)

    def views(self) -> None:
        """Check the views, if the summary announces them."""
        summary = self._summary
        is_asked = summary.get("has_views") is True and not self._ignored
        if not is_asked or chain.SUMMARY in self._named:
            return
        self._signature(chain.VIEWS)
        if chain.VIEWS in self._digests and chain.VIEWS not in self._named:
            flow_id, digest = text_of(summary, "flow_id"), self._digests[chain.SUMMARY]
            self._add(view_findings(self._place, self._documents, flow_id, digest))

    def result(self) -> VerifyResult:
        """The result, with all findings."""
        groups: dict[str, list[str]] = {NOT_HERE: [], "ok": [], "": []}
        for finding in self._found:
            group = finding.problem if finding.problem in groups else ""
            groups[group].append(_shown(finding))
        found = list(dict.fromkeys(groups[""]))
        if len(found) > _MOST_SHOWN:
            found[_MOST_SHOWN:] = [f"{len(found) - _MOST_SHOWN} more findings are not shown"]
        summary = self._summary
        signer = summary.get("signed_by")
        is_whole = chain.SUMMARY not in self._named
        return VerifyResult(
            ok=not found,
            findings=found,
            not_here=list(dict.fromkeys(groups[NOT_HERE])),
            views=groups["ok"],
            flow_id=text_of(summary, "flow_id") or self._place.flow_id,
            head=chain.last_head(self._digests),
            key_id=text_of(signer, "key_id") if isinstance(signer, dict) and is_whole else "",
        )


def _shown(finding: Finding) -> str:
    if finding.problem == NOT_HERE:
        detail = f" ({finding.detail})" if finding.detail else ""
        return chain.one_line(finding.file + detail)
    return str(finding)


def _against_head(
    head: str, digests: Mapping[str, str], documents: Mapping[str, bytes]
) -> list[Finding]:
    """Compare the chain with a head kept elsewhere: a chain replaced as a whole is consistent."""
    own = chain.last_head(digests)
    if head in (own, text_of(parsed(documents.get(chain.SUMMARY)), "digest")):
        return []
    last = max((n for n in digests if (chain.phase_of(n) or ("", ""))[1] == "verdict"), default="")
    said = f"the chain was cut or replaced: it ends in {own}, and the head kept is {head}"
    return [Finding(last or chain.SUMMARY, "cut", said)]


def _record_of(evidence: Mapping[str, Any], run_id: str) -> str:
    """The file with a phase's copy of a run's commit record; after a second fetch, numbered."""
    listed = evidence.get("artifacts")
    listed = listed if isinstance(listed, list) else []
    paths = [text_of(artifact, "path") for artifact in listed if isinstance(artifact, dict)]
    numbered = re.compile(rf"(.*/)?([0-9]+\.)?{re.escape(record_name(run_id))}", re.DOTALL)
    found = [path.rpartition("/")[2] for path in paths if numbered.fullmatch(path)]
    return found[0] if found else record_name(run_id)


def _inside(path: str, folder: str) -> str | None:
    """The name of `path` inside the flow's folder, wherever the folder was."""
    if not path.startswith("/"):
        return path
    _, mark, rest = path.partition(folder) if folder else ("", "", "")
    return rest if mark else None
