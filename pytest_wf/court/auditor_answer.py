"""The answer of an auditor, and its strict parser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_wf.court.constitution import LAWS

_MAX_TEXT_CHARS = 8000
_KEYS = frozenset({"verdict", "violated_laws", "evidence_refs", "remediation"})
#: Optional keys, which must equal the document's if present.
_ECHOES = ("nonce", "evidence_sha256")


@dataclass(frozen=True)
class ConstitutionalAnswer:
    """The result of an audit. `reason` says why it is 'unverified', and has other remarks."""

    verdict: Literal["pass", "fail", "unverified"]
    violated_laws: tuple[int, ...] = ()
    evidence_refs: tuple[str, ...] = ()
    remediation: str = ""
    reason: str = ""
    duration_s: float = 0.0


class NoAnswer(Exception):
    """The reason why there is no valid answer."""


def read_answer(value: object, document: Mapping[str, Any]) -> ConstitutionalAnswer:
    """The answer in `value`, a parsed JSON document; 'unverified' if it deviates from the form.

    An answer has exactly the keys verdict, violated_laws, evidence_refs and remediation. It
    may also have `nonce` and `evidence_sha256`, which must then equal those of `document`.
    """
    try:
        return _read(value, document)
    except NoAnswer as e:
        return ConstitutionalAnswer("unverified", reason=str(e))


def _read(value: object, document: Mapping[str, Any]) -> ConstitutionalAnswer:
    if not isinstance(value, Mapping):
        raise NoAnswer(f"the answer is a {type(value).__name__}, not one JSON object")
    missing = sorted(_KEYS - set(value))
    strays = sorted(map(str, set(value) - _KEYS - set(_ECHOES)))
    if missing or strays:
        raise NoAnswer(f"the answer lacks {missing} and has {strays} beyond what is known")
    for name in _ECHOES:
        if name in value and value[name] != document.get(name):
            raise NoAnswer(f"the answer is about another request: its {name} differs")
    verdict = value["verdict"]
    if verdict not in ("pass", "fail", "unverified") or not isinstance(verdict, str):
        raise NoAnswer(f"verdict is {_shown(verdict)}; it must be pass, fail or unverified")
    laws, refs, remediation = (value[k] for k in ("violated_laws", "evidence_refs", "remediation"))
    if not isinstance(laws, (list, tuple)) or not all(type(law) is int for law in laws):
        raise NoAnswer(f"violated_laws is {_shown(laws)}; it must be a list of law numbers")
    unknown = sorted(set(laws) - set(LAWS))
    if unknown:
        raise NoAnswer(f"violated_laws names {_shown(unknown)}; the laws are 1 to {max(LAWS)}")
    if not isinstance(refs, (list, tuple)) or not all(isinstance(r, str) for r in refs):
        raise NoAnswer(f"evidence_refs is {_shown(refs)}; it must be a list of strings")
    if not isinstance(remediation, str):
        raise NoAnswer(f"remediation is {_shown(remediation)}; it must be a string")
    if verdict == "pass" and laws:
        raise NoAnswer(f"verdict is pass, but laws {sorted(set(laws))} are violated")
    return ConstitutionalAnswer(
        verdict,  # type: ignore[arg-type]
        tuple(sorted(set(laws))),
        tuple(clean(ref) for ref in refs[:200]),
        clean(remediation),
        reason="the auditor itself says unverified" if verdict == "unverified" else "",
    )


def clean(text: str) -> str:
    """`text` without terminal control sequences, cut to a reasonable length."""
    kept = text.encode("utf-8", "replace").decode("utf-8")[:_MAX_TEXT_CHARS]
    return "".join(c if c.isprintable() or c == "\n" else " " for c in kept)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
