"""The default auditor: judges one phase against the laws, as a process of its own.

Run as ``python -m pytest_wf.auditor``. Reads one JSON document on stdin: evidence, its
digest, contract, laws, the deterministic report, what is known of the flow, and a nonce. Writes
one JSON object: ``verdict`` pass or fail, ``violated_laws``, ``evidence_refs``, ``remediation``.
It exits with status 2 if it cannot read the document; the court then records 'unverified'.

It judges by plain rules, one function per law. It shares the laws and the contracts, which
are data, with the deterministic layer, but no rules: a mistake in one layer must not be a mistake
in both. It starts once per phase, so it imports little.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pytest_wf.court.constitution import LAWS
from pytest_wf.court.phases import CONTRACTS
from pytest_wf.wire.files import BadJson, parse_json

_MAX_BYTES = 64 * 1024 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?Z"
)

#: The fields of evidence, and the type of each.
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "flow_id": (str,),
    "phase_id": (str,),
    "started_at": (str,),
    "ended_at": (str,),
    "active_config_path": (str,),
    "active_config_sha256": (str,),
    "lium_target": (str, type(None)),
    "ops_default_host": (str, type(None)),
    "config_target": (str, type(None)),
    "transport": (str,),
    "resolved_target": (str, type(None)),
    "remote_env_path": (str, type(None)),
    "fsm_before": (str, type(None)),
    "fsm_after": (str, type(None)),
    "command_name": (str,),
    "command_rc": (int, type(None)),
    "phase_status": (str,),
    "failure_code": (int,),
    "repo_url": (str, type(None)),
    "git_sha": (str, type(None)),
    "teardown_mode": (str, type(None)),
    "campaign_id": (str, type(None)),
    "artifacts": (list,),
    "contract": (dict,),
}

#: Shapes that only secrets have. The names of secrets are not secret.
_SECRETS: Mapping[str, re.Pattern[str]] = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS key id": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "a URL with a password": re.compile(r"://[^/\s:@\[\]\"']+:(?!\[redacted\]@)[^/\s:@\"']+@"),
}

#: Commands that destroy what others may need.
_DESTRUCTIVE = frozenset({"pod-delete", "delete", "fsm-reset"})


class Finding(NamedTuple):
    """One violated law: where it shows, and the remedy."""

    law: int
    ref: str
    remedy: str


class Pack(NamedTuple):
    """The document that the auditor was given, in parts."""

    evidence: Mapping[str, Any]
    evidence_sha256: str
    contract: Mapping[str, Any]
    laws: frozenset[int]
    deterministic: Any
    #: What the controller knows of the flow: locked_target, phases_before, and the like.
    flow: Mapping[str, Any]

    @property
    def code(self) -> str:
        """Code of the phase."""
        return str(self.evidence.get("phase_id"))

    @property
    def commands(self) -> list[str]:
        """Every command that ran, including the phase's main one."""
        ran = self.evidence.get("commands")
        name = self.evidence.get("command_name")
        listed = [str(c) for c in ran] if isinstance(ran, list) else []
        return [*listed, name] if isinstance(name, str) and name not in ("", *listed) else listed

    @property
    def facts(self) -> Mapping[str, Any]:
        """The results of the phase's operations."""
        facts = self.evidence.get("facts")
        return facts if isinstance(facts, dict) else {}


def _law_1(pack: Pack) -> Iterator[Finding]:
    """The config is the canonical one, or an allowed other; it never changes."""
    evidence = pack.evidence
    path, digest = evidence.get("active_config_path"), evidence.get("active_config_sha256")
    if not isinstance(path, str) or not path:
        yield Finding(1, "active_config_path", "Record which config is active.")
    elif not (
        f"/{path}".endswith("/flows/workflow.env") or evidence.get("override_enabled") is True
    ):
        remedy = f"{path} is not flows/workflow.env, which must say WF_ALLOW_OVERRIDE=1 first."
        yield Finding(1, "override_enabled", remedy)
    if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
        yield Finding(1, "active_config_sha256", "Record the config's SHA-256.")
    elif digest != pack.flow.get("config_sha256_at_start", digest):
        yield Finding(1, "active_config_sha256", "Restore the config, or begin a new flow.")


def _law_2(pack: Pack) -> Iterator[Finding]:
    """Phases run in the order of their codes, none left out, in one flow."""
    if pack.evidence.get("mode") != "flow":
        yield Finding(2, "mode", "Run the lifecycle by `pytest flows/ --wf-flow`.")
    before = pack.flow.get("phases_before")
    if not isinstance(before, list):
        return
    if any(str(code) >= pack.code for code in before) or before != sorted(set(before)):
        yield Finding(2, "phase_id", "Run each phase once, in the order of the codes.")
    left_out = [c for c in CONTRACTS if c < pack.code and c not in before]
    if left_out and pack.contract.get("always") is not True:
        yield Finding(2, "phase_id", f"Run the whole flow; left out: {', '.join(left_out)}.")


def _law_3(pack: Pack) -> Iterator[Finding]:
    """One target, from a source that can be named."""
    evidence = pack.evidence
    target, source = evidence.get("resolved_target"), evidence.get("target_source")
    if "locked_target" in pack.flow and (target or None) != (pack.flow["locked_target"] or None):
        yield Finding(3, "resolved_target", "Begin a new flow for another target.")
    if not target:
        if pack.code >= "P20" and evidence.get("phase_status") == "ok" and not _always(pack):
            yield Finding(3, "resolved_target", "Bind a target in P20.")
    elif source not in ("explicit", "autobind"):
        yield Finding(3, "target_source", "Record where the target comes from.")
    elif source == "explicit" and not evidence.get("config_target"):
        yield Finding(3, "target_source", "An explicit target is named by the config.")


def _law_4(pack: Pack) -> Iterator[Finding]:
    """Whatever would have prompted had a terminal, or consent in advance."""
    facts = pack.facts
    if pack.code == "P00" and pack.evidence.get("phase_status") == "ok":
        for name in ("interactive", "consent"):
            if facts.get(name) not in (True, False):
                yield Finding(4, f"facts.{name}", "Record in P00 whether there is a terminal.")
    if facts.get("rented"):
        known = {**pack.flow, **facts}
        if known.get("interactive") is not True and not known.get("consent"):
            yield Finding(4, "facts.rented", "Consent to renting in advance.")


def _law_5(pack: Pack) -> Iterator[Finding]:
    """The phase did what its contract says, in the states that its contract says."""
    declared = pack.contract.get("commands")
    allowed = declared if isinstance(declared, list) else []
    strays = [c for c in pack.commands if c not in allowed]
    if strays:
        yield Finding(5, "commands", f"Not in the contract: {', '.join(strays)}. Declare it.")
    if pack.contract.get("code") != pack.code:
        yield Finding(5, "contract", "Judge a phase by its own contract.")
    if pack.evidence.get("phase_status") == "ok":
        for moment in ("before", "after"):
            legal, state = pack.contract.get(f"states_{moment}"), pack.evidence.get(f"fsm_{moment}")
            if isinstance(legal, list) and state not in legal:
                yield Finding(5, f"fsm_{moment}", f"The pod is in {state}; see `wf fsm-status`.")


def _law_6(pack: Pack) -> Iterator[Finding]:
    """The evidence is complete, in order, and contains no secret."""
    evidence = pack.evidence
    for name, types in _FIELDS.items():
        value = evidence.get(name)
        fits = isinstance(value, types) and not (isinstance(value, bool) and bool not in types)
        if name not in evidence or not fits:
            yield Finding(6, name, "Record every field of the evidence.")
    if evidence.get("phase_status") not in ("ok", "skip", "fail"):
        yield Finding(6, "phase_status", "A phase is ok, skip or fail.")
    times = [evidence.get(name) for name in ("started_at", "ended_at")]
    bad = [t for t in times if not isinstance(t, str) or _TIME.fullmatch(t) is None]
    if bad:
        yield Finding(6, "started_at", "Record times as RFC 3339 in UTC.")
    elif _sortable(times[0]) > _sortable(times[1]):
        yield Finding(6, "ended_at", "A phase ends after it began; check the clock.")
    yield from _artifacts(pack)
    for where, text in _strings(evidence, ""):
        for what, shape in _SECRETS.items():
            if shape.search(text):
                yield Finding(6, where, f"It has {what}; revoke it, and name it in WF_SECRET_ENV.")


def _artifacts(pack: Pack) -> Iterator[Finding]:
    listed = pack.evidence.get("artifacts")
    roles = set()
    for number, artifact in enumerate(listed if isinstance(listed, list) else []):
        entry = artifact if isinstance(artifact, dict) else {}
        digest, size = entry.get("sha256"), entry.get("bytes")
        whole = isinstance(entry.get("path"), str) and type(size) is int and size >= 0
        if not whole or not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
            yield Finding(6, f"artifacts[{number}]", "Record path, SHA-256 and size of artifacts.")
        roles.add(entry.get("role"))
    wanted = pack.contract.get("artifacts")
    if pack.evidence.get("phase_status") == "ok":
        for role in wanted if isinstance(wanted, list) else []:
            if role not in roles:
                yield Finding(6, "artifacts", f"The contract asks for a {role!r}.")


def _law_7(pack: Pack) -> Iterator[Finding]:
    """Only P90 destroys anything, on request, and only the pod that was bound."""
    destroyed = sorted(set(pack.commands) & _DESTRUCTIVE)
    if destroyed and pack.code != "P90":
        yield Finding(7, "commands", f"Only P90 may {', '.join(destroyed)}.")
    deleted = "pod-delete" in pack.commands or pack.facts.get("deleted") is True
    if not deleted or pack.code != "P90":
        return
    if pack.evidence.get("teardown_mode") != "delete":
        yield Finding(7, "teardown_mode", "Ask for deletion with --wf-teardown=delete.")
    bound = pack.flow.get("locked_target", pack.evidence.get("resolved_target"))
    if not bound or pack.evidence.get("resolved_target") != bound:
        yield Finding(7, "resolved_target", "Delete only the pod that this flow bound.")


def _law_8(pack: Pack) -> Iterator[Finding]:
    """A core phase has the contract that is documented."""
    shipped = CONTRACTS.get(pack.code)
    for name, contract in (("contract", pack.contract), ("evidence.contract", _own(pack))):
        if shipped is not None and _without_limits(contract) != _without_limits(shipped.as_data()):
            yield Finding(8, name, f"{pack.code} has a contract that no document knows.")


def _law_9(pack: Pack) -> Iterator[Finding]:
    """The deterministic layer has judged this evidence, and its result follows from its checks."""
    report = pack.deterministic
    if not isinstance(report, dict) or not isinstance(report.get("checks"), list):
        yield Finding(9, "deterministic", "Hold the deterministic layer first.")
        return
    subject = (report.get("flow_id"), report.get("phase_id"), report.get("evidence_sha256"))
    if subject != (pack.evidence.get("flow_id"), pack.code, pack.evidence_sha256):
        yield Finding(9, "deterministic", "It judges other evidence.")
    checks = report["checks"]
    all_ok = all(isinstance(c, dict) and c.get("ok") is True for c in checks)
    if report.get("passed") is not (bool(checks) and all_ok):
        yield Finding(9, "deterministic.passed", "It is not what its checks add up to.")


RULES: Mapping[int, Callable[[Pack], Iterator[Finding]]] = {
    1: _law_1,
    2: _law_2,
    3: _law_3,
    4: _law_4,
    5: _law_5,
    6: _law_6,
    7: _law_7,
    8: _law_8,
    9: _law_9,
}


def audit(document: Any) -> dict[str, Any]:
    """The answer to one parsed document. Raises ValueError if it is malformed.

    Laws that an earlier phase has already failed for ('known_violations' of the flow) are
    noted and not counted again.
    """
    pack = _pack(document)
    known = pack.flow.get("known_violations")
    excused = set(known) & {1, 3} if isinstance(known, list) else set()
    found = [f for law in sorted(pack.laws) for f in RULES[law](pack)]
    counted = [f for f in found if f.law not in excused]
    answer: dict[str, Any] = {
        "verdict": "fail" if counted else "pass",
        "violated_laws": sorted({f.law for f in counted}),
        "evidence_refs": sorted({f"{f.ref} (law {f.law})" for f in found}),
        "remediation": " ".join(dict.fromkeys(f.remedy for f in counted)),
        "evidence_sha256": pack.evidence_sha256,
    }
    if "nonce" in document:
        answer["nonce"] = document["nonce"]
    return answer


def main() -> int:
    """Read stdin, write the answer, and return the exit status."""
    try:
        answer = audit(parse_json(sys.stdin.buffer.read(_MAX_BYTES + 1), _MAX_BYTES))
    except (BadJson, ValueError) as e:
        print(f"pytest_wf.auditor: {e}", file=sys.stderr)
        return 2
    print(json.dumps(answer, sort_keys=True))
    return 0


def _pack(document: Any) -> Pack:
    if not isinstance(document, dict):
        raise ValueError("the document is not a JSON object")
    parts = {name: document.get(name) for name in ("evidence", "contract", "laws")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError(f"the document has no {name}")
    laws = {int(n) for n in parts["laws"] if n.isascii() and n.isdigit()}  # type: ignore[union-attr]
    if not laws or not laws <= set(LAWS) or len(laws) != len(document["laws"]):
        raise ValueError(f"the laws to judge by are {sorted(document['laws'])}")
    flow = document.get("flow")
    return Pack(
        evidence=document["evidence"],
        evidence_sha256=str(document.get("evidence_sha256")),
        contract=document["contract"],
        laws=frozenset(laws),
        deterministic=document.get("deterministic"),
        flow=flow if isinstance(flow, dict) else {},
    )


def _always(pack: Pack) -> bool:
    return pack.contract.get("always") is True


def _own(pack: Pack) -> Mapping[str, Any]:
    own = pack.evidence.get("contract")
    return own if isinstance(own, dict) else {}


def _without_limits(contract: Mapping[str, Any]) -> dict[str, Any]:
    """A contract less its time-out, which the config may set."""
    return {name: value for name, value in contract.items() if name != "timeout_s"}


def _sortable(time: Any) -> tuple[str, str]:
    whole, _, fraction = str(time)[:-1].partition(".")
    return whole, fraction.ljust(9, "0")


def _strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield where, str(key)
            yield from _strings(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _strings(item, f"{where}[{number}]")


if __name__ == "__main__":
    sys.exit(main())
