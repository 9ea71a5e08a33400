"""The ranking of a sweep's rows by one metric.

    WF_RANK_BY    [ goal ] value
    goal          "minimize" | "maximize"
    value         metric | ( "last" | "min" | "max" ) "(" metric ")"

The value is read as in `WF_EXPECT`: a metric alone is its last value. Without a goal, ``min(…)``
is minimized and ``max(…)`` maximized; the goal of a metric alone follows from its name. Without
`WF_RANK_BY`, the metric is guessed from the names that rows reported.

Only a row that is ok is ranked: its training ended well, and it met its expectations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from pytest_wf.config.expect import METRIC, finite, named
from pytest_wf.config.types import BadValue

MINIMIZE, MAXIMIZE = "minimize", "maximize"

_RULE = re.compile(
    r"\s*(?:(?P<goal>minimize|maximize)\s+)?(?:(?P<of>last|min|max)\s*(?P<open>\())?\s*"
    rf"(?P<metric>{METRIC})\s*(?(open)\)\s*)",
    re.ASCII,
)
_REMEDY = "Write a metric such as val_loss, min(val_loss) or maximize tokens_per_s."

# Words in the names of metrics, in order of preference.
_LOWER = (
    *("loss", "losses", "perplexity", "ppl", "nll", "bpb", "bpc", "xent"),
    *("error", "errors", "err", "mse", "rmse", "mae", "wer", "cer", "fid", "regret"),
)
_HIGHER = (
    *("accuracy", "acc", "f1", "bleu", "rouge", "auc", "auroc", "map", "ndcg", "mrr", "iou"),
    *("miou", "dice", "precision", "recall", "psnr", "ssim", "elbo", "score", "scores"),
    *("success", "reward", "rewards", "rew", "return"),
)
_GOALS = {**dict.fromkeys(_LOWER, MINIMIZE), **dict.fromkeys(_HIGHER, MAXIMIZE)}
_PREFERENCE = {word: place for place, word in enumerate(_GOALS)}
# a number with such a word in its name is a setting: loss_scale, reward_weight
_SET = re.compile(r"coef|factor|lambda|margin|scal|smooth|target|thr|tol|weight(?!ed)")
_SPLITS = (
    frozenset({"val", "valid", "validation", "dev"}),
    frozenset({"eval", "evaluation", "holdout"}),
    frozenset({"test", "testing"}),
    frozenset[str](),
    frozenset({"train", "training"}),
)
_NO_SPLIT = 3
_WORD = re.compile(r"mAP|[fF]1|[A-Z]+(?![a-z])|[A-Za-z][a-z]*")
_JOINED = re.compile(r"([a-z]+)(loss|accuracy|reward|score)")


class Measured(Protocol):
    """A row of a sweep that can be ranked, such as a `wire.rows.RowStatus`."""

    @property
    def run_id(self) -> str:
        """Its id."""

    @property
    def ok(self) -> bool | None:
        """Whether its training succeeded and its metrics met its expectations."""

    @property
    def measures(self) -> Mapping[str, Any]:
        """Last values by metric, extremes by ``min(metric)`` and ``max(metric)``."""


@dataclass(frozen=True)
class Rule:
    """The rule that rows are ranked by."""

    #: Its name, or ``min(name)`` or ``max(name)``.
    metric: str
    #: `MINIMIZE` or `MAXIMIZE`.
    goal: str

    @property
    def base(self) -> str:
        """The name of the metric, without ``min(…)`` or ``max(…)``."""
        return self.metric[4:-1] if self.metric.endswith(")") else self.metric

    @property
    def text(self) -> str:
        """The rule as `parse` reads it."""
        return f"{self.goal} {self.metric}"

    @property
    def words(self) -> str:
        """The rule in words, such as ``lowest final val_loss`` or ``lowest min(val_loss)``."""
        value = self.metric if self.metric != self.base else f"final {self.metric}"
        return f"{'lowest' if self.goal == MINIMIZE else 'highest'} {value}"

    def value(self, row: Measured) -> float | None:
        """The value that the row is ranked by; None if there is nothing to compare.

        A row whose metric is NaN or infinite at the end has none, whatever its extremes are.
        """
        measures = row.measures
        ended = named(measures, self.base)
        if ended is not None and finite(ended) is None:
            return None
        return finite(named(measures, self.metric))


@dataclass(frozen=True)
class Ranking:
    """The rows of a sweep in order, the best first."""

    #: None if there is no rule.
    rule: Rule | None
    #: Whether the rule was guessed from the names of metrics.
    guessed: bool
    #: All rows: the ranked ones, other rows that are ok, the rest. Without a ranking, as given.
    order: tuple[str, ...]
    #: By run id, for ranked rows. Equal values have an equal rank, from 1.
    ranks: Mapping[str, int]
    values: Mapping[str, float]
    #: Why there is no best row; empty if there is one.
    reason: str = ""

    @property
    def best(self) -> str | None:
        """The run id of the best row; of equal ones the first; None if there is none."""
        return self.order[0] if self.ranks else None

    def first_values(self, most: int = 20) -> list[float]:
        """The values of the first rows, the best first."""
        return [self.values[run_id] for run_id in self.order[:most] if run_id in self.values]

    @property
    def words(self) -> str:
        """What the rows are ranked by, in words; empty if they are not ranked."""
        if self.rule is None or not self.ranks:
            return ""
        how = " (metric chosen by name; see WF_RANK_BY)" if self.guessed else ""
        return self.rule.words + how

    def as_json(self) -> dict[str, Any] | None:
        """The best row as it is in records; None if there is none."""
        if self.rule is None or self.best is None:
            return None
        return {
            "run_id": self.best,
            "metric": self.rule.metric,
            "goal": self.rule.goal,
            "value": self.values[self.best],
            "guessed": self.guessed,
        }


@lru_cache(maxsize=64)
def parse(text: str) -> Rule | None:
    """The rule in `text`; None for the empty text. Raises BadValue."""
    if not text.strip():
        return None
    found = _RULE.fullmatch(text)
    if found is None:
        raise BadValue("not a metric to rank rows by", _REMEDY)
    of, metric = found["of"], found["metric"]
    goal = found["goal"] or {"min": MINIMIZE, "max": MAXIMIZE}.get(of) or goal_of(metric)
    if goal is None:
        raise BadValue(
            f"whether a low or a high {metric} is better is not known",
            f"Write 'minimize {metric}' or 'maximize {metric}'.",
        )
    return Rule(f"{of}({metric})" if of in ("min", "max") else metric, goal)


def rank(rows: Sequence[Measured], rank_by: str = "", recorded_guess: str | None = None) -> Ranking:
    """The order of `rows` by the rule `rank_by`, or by a guessed rule if that is empty.

    `recorded_guess` is the rule that was guessed when the rows were recorded, '' for none: another
    version may guess a different one. A rule that cannot be parsed, which may come from a record,
    ranks nothing; the reason is in the result.
    """
    good = [row for row in rows if row.ok is True]
    try:
        rule, recorded = parse(rank_by), parse(recorded_guess or "")
    except BadValue as e:
        return _unranked(rows, None, f"WF_RANK_BY={rank_by!r:.80}: {e.reason}")
    guessed = rule is None
    if guessed:
        rule = guess([row.measures for row in good]) if recorded_guess is None else recorded
    if not good:
        return _unranked(rows, rule, "No row is ok." if rows else "There are no rows.")
    if rule is None:
        return _unranked(
            rows, None, "No metric of the rows says by its name what is better; set WF_RANK_BY."
        )
    values = {row.run_id: value for row in good if (value := rule.value(row)) is not None}
    if not values:
        return _unranked(rows, rule, f"No row that is ok ended with a finite {rule.base}.")
    sign = 1 if rule.goal == MINIMIZE else -1
    by_value = sorted(values, key=lambda run_id: sign * values[run_id])
    ranks: dict[str, int] = {}
    for place, run_id in enumerate(by_value, start=1):
        before = by_value[place - 2] if place > 1 else run_id
        ranks[run_id] = ranks[before] if place > 1 and values[before] == values[run_id] else place
    return Ranking(rule, guessed, (*by_value, *_others(rows, ranks)), ranks, values)


def guess(measures: Sequence[Mapping[str, Any]]) -> Rule | None:
    """The rule that the names of the rows' metrics suggest; None if none does.

    Metrics of validation come before others, and those of training last; losses come before
    scores. A metric that fewer than half of the rows ended with as a finite number is used only
    if there is no other.
    """
    counts: dict[str, int] = {}
    for of_row in measures:
        for name, value in of_row.items():
            if not name.endswith(")") and goal_of(name):
                counts[name] = counts.get(name, 0) + (finite(value) is not None)

    def interest(name: str) -> tuple[object, ...]:
        words = _words(name)
        kind = min(_PREFERENCE[word] for word in words if word in _PREFERENCE)
        is_rare = 2 * counts[name] < len(measures)
        return not counts[name], is_rare, _split(words), kind, -counts[name], len(name), name

    best = min(counts, key=interest, default=None)
    return None if best is None else Rule(best, str(goal_of(best)))


@lru_cache(maxsize=4096)
def goal_of(metric: str) -> str | None:
    """Whether a low or a high value of a metric is better, by its name; None if that is unknown.

    The last word that decides counts: a reward_loss is a loss.
    """
    if _SET.search(metric.lower()):
        return None
    return next((_GOALS[word] for word in reversed(_words(metric)) if word in _GOALS), None)


def _words(name: str) -> list[str]:
    """The words in a name, without digits: ``val/lossTotal`` has three, ``valloss`` two."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [part for word in words for part in _joined(word)]


def _joined(word: str) -> tuple[str, ...]:
    found = _JOINED.fullmatch(word)
    return (word,) if found is None else (found[1], found[2])


def _split(words: Sequence[str]) -> int:
    """The preference of the data that a metric was measured on, by its name."""
    return next((n for n, split in enumerate(_SPLITS) if split.intersection(words)), _NO_SPLIT)


def _others(rows: Sequence[Measured], ranks: Mapping[str, int]) -> list[str]:
    """Rows without a rank, those that are ok first."""
    rest = [row for row in rows if row.run_id not in ranks]
    return [row.run_id for row in sorted(rest, key=lambda row: row.ok is not True)]


def _unranked(rows: Sequence[Measured], rule: Rule | None, reason: str) -> Ranking:
    return Ranking(rule, False, tuple(_others(rows, {})), {}, {}, reason)
