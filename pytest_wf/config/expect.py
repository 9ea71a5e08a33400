"""Conditions on a row's final metrics: a small strict grammar, parsed and never evaluated.

    expectations  clause { ";" clause }
    clause        value op bound
    value         metric | ( "last" | "min" | "max" ) "(" metric ")"
    op            "<" | "<=" | ">" | ">=" | "==" | "!="
    bound         number | [ factor "*" ] "baseline"

`WF_EXPECT` applies to every row, the column `expect` to its own row. All clauses count, even
if both name the same metric. A metric alone means its last value. A metric that is missing, or
not a finite number, fails its clause. Names match without regard to case if that is unambiguous.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pytest_wf.config.types import BadValue

_OPS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
#: The name of a metric in a condition.
METRIC = r"[A-Za-z_][A-Za-z0-9_./@:%-]{0,127}"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_CLAUSE = re.compile(
    r"\s*(?:(?P<of>last|min|max)\s*(?P<open>\())?\s*"
    rf"(?P<metric>{METRIC})\s*(?(open)\)\s*)(?P<op><=|>=|==|!=|<|>)\s*"
    rf"(?:(?P<number>{_NUMBER})(?P<times>\s*\*\s*baseline)?|(?P<baseline>baseline))\s*",
    re.ASCII,
)
_REMEDY = "Write conditions such as val_loss<3.3; min(val_loss)<=1.01*baseline."
#: The most mistakes of one value that are named.
_MAX_TOLD = 8


@dataclass(frozen=True)
class Clause:
    """One condition on one metric."""

    #: Its name, or ``min(name)`` or ``max(name)``.
    metric: str
    op: str
    #: The bound itself; where `is_relative`, the factor of the baseline's value.
    number: float
    is_relative: bool
    #: As written, without blanks.
    text: str

    def bound(self, baseline: float | None) -> float | None:
        """The value to compare the metric with; None if there is none."""
        if not self.is_relative:
            return self.number
        if baseline is None:
            return None
        value = self.number * baseline
        return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Judgement:
    """The result of one clause for one row's final metrics."""

    clause: Clause
    #: The metric as the row reported it last: a number, text such as 'nan', None where missing.
    actual: float | str | None
    #: The baseline's value of the metric; None if the clause does not need one, or there is none.
    baseline: float | None
    ok: bool

    @property
    def bound(self) -> float | None:
        """The value that the metric was compared with."""
        return self.clause.bound(self.baseline)

    @property
    def was(self) -> str:
        """The metric's value in words; never rounded to look like its bound."""
        if self.actual is None:
            return "not reported"
        if isinstance(self.actual, str):
            return self.actual
        short, bound = f"{self.actual:.6g}", self.bound
        return repr(self.actual) if bound is not None and short == f"{bound:.6g}" else short

    @property
    def expected(self) -> str:
        """The clause; with the resulting bound if it is relative."""
        if not self.clause.is_relative:
            return self.clause.text
        if self.baseline is None:
            return f"{self.clause.text} (there is no baseline)"
        bound = self.bound
        return self.clause.text if bound is None else f"{self.clause.text} ({bound:.6g})"

    def __str__(self) -> str:
        return f"expected {self.expected}, was {self.was}"

    def as_data(self) -> dict[str, Any]:
        """The judgement as it is in evidence."""
        data: dict[str, Any] = {
            "clause": self.clause.text,
            "expected": self.expected,
            "bound": self.bound,
            "actual": self.actual,
            "was": self.was,
            "ok": self.ok,
        }
        if self.clause.is_relative:
            data["baseline"] = self.baseline
        return data


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Clause, ...]:
    """The clauses in `text`; none in the empty text. Raises BadValue that names every wrong one."""
    clauses, wrong = [], []
    parts = [part.strip() for part in text.split(";")]
    for part in filter(None, parts):
        found = _CLAUSE.fullmatch(part)
        number = float(found["number"] or 1) if found else math.inf
        if found is None or not math.isfinite(number):
            wrong.append(part if len(part) <= 60 else f"{part[:57]}...")
            continue
        is_relative = bool(found["times"] or found["baseline"])
        of, name = found["of"], found["metric"]
        metric = f"{of}({name})" if of in ("min", "max") else name
        clauses.append(Clause(metric, found["op"], number, is_relative, "".join(part.split())))
    if wrong:
        verb = (
            "is not a condition on a metric" if len(wrong) == 1 else "are not conditions on metrics"
        )
        more = f" and {len(wrong) - _MAX_TOLD} more" if len(wrong) > _MAX_TOLD else ""
        told = ", ".join(repr(part) for part in wrong[:_MAX_TOLD])
        raise BadValue(f"{told}{more} {verb}", _REMEDY)
    if text.strip() and not clauses:
        raise BadValue("there is no condition in it", _REMEDY)
    return tuple(clauses)


def clauses_of(general: str, own: str) -> list[Clause]:
    """The clauses of a row: the config's and its own.

    A row's own clauses were frozen with the campaign, perhaps by another version. A clause that
    cannot be parsed here is never met.
    """
    try:
        return [*parse(general), *parse(own)]
    except BadValue:
        return [*parse(general), Clause("", "==", 1.0, True, _printable(own, 200))]


def finite(value: object) -> float | None:
    """`value` as a finite number; None for anything else, including NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def named(values: Mapping[str, Any], name: str) -> Any:
    """The value of that name; otherwise of the only one that differs by case; or None."""
    if name in values:
        return values[name]
    alike = [value for other, value in values.items() if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def judge(
    clauses: Sequence[Clause], metrics: Mapping[str, Any], baseline: Mapping[str, Any]
) -> list[Judgement]:
    """Judge a row's `metrics` by `clauses`; `baseline` is that of the row.

    Both are by metric, extremes by ``min(name)`` and ``max(name)`` (`wire.rows.measures`).
    """
    judged = []
    for clause in clauses:
        value = named(metrics, clause.metric)
        number = finite(value)
        base = finite(named(baseline, clause.metric)) if clause.is_relative else None
        bound = clause.bound(base)
        ok = number is not None and bound is not None and _OPS[clause.op](number, bound)
        judged.append(Judgement(clause, number if number is not None else _odd(value), base, ok))
    return judged


def rejudged(
    clauses: Sequence[Clause], metrics: Mapping[str, Any], recorded: object
) -> list[dict[str, Any]]:
    """The `recorded` judgements of evidence, recomputed from the clauses and the metrics.

    Only the baseline's values are taken from the record: they are recorded nowhere else.
    """
    listed = recorded if isinstance(recorded, list) else []
    base = {
        clause.metric: entry.get("baseline")
        for clause, entry in zip(clauses, listed, strict=False)
        if clause.is_relative and isinstance(entry, dict)
    }
    return [judgement.as_data() for judgement in judge(clauses, metrics, base)]


def _odd(value: object) -> str | None:
    """Words for a value that is not a finite number; None if there is no value."""
    if isinstance(value, str):
        return _printable(value, 40)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return "too large a number"
    return str(value)


def _printable(text: str, longest: int) -> str:
    return "".join(c for c in text[:longest] if c.isprintable())
