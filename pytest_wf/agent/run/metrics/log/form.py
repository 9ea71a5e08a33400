"""The form of a log line: where the numbers are in all lines that differ only in digits."""

import re
from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from pytest_wf.agent.run.metrics.log.metric_names import is_measured, is_split, metric_name
from pytest_wf.agent.run.metrics.numbers import number

#: A larger number is not a step.
MOST_STEPS = 10**18
#: Spellings that take the place of a number.
NO_NUMBER = r"(?:[Nn][Oo][Nn][Ee]|[Nn][Uu][Ll][Ll]|N/A)(?![A-Za-z_])"

_NO_NUMBER = re.compile(NO_NUMBER)
_RATIO = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
_RATIO_NAMES = re.compile(
    r"acc(?![a-z])|accuracy|correct|precision|recall|top[-_@]?[0-9]+", re.IGNORECASE
)
# a mean and its deviation
_SPREAD = re.compile(
    r"([-+]?[0-9]+\.[0-9]+)(?:\+|\u00b1|\+/-|\+-)([0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?)"
)

#: A part of a line: its first place, and the place after its last.
Span = Tuple[int, int]


class Count(NamedTuple):
    """How far something is, and its total."""

    at: float
    total: Optional[int] = None


class LogLine(NamedTuple):
    """The content of one line."""

    step: Optional[Count]
    epoch: Optional[Count]
    #: By name; as text if from the user's pattern.
    values: Dict[str, Any]
    #: Whether the step is one within the epoch, as far as the line says.
    is_of_epoch: bool = False
    #: Whether it gives a step and nothing else, so that the lines after it are of that step.
    is_heading: bool = False


class FormCount(NamedTuple):
    """A count: its word, and where its number and its total are."""

    word: str
    at: Span
    of: Optional[Span]


class FormPair(NamedTuple):
    """A name and a value: where they are, and what belongs to the name."""

    name: Span
    #: The word whose brackets it is in, and the remark after it.
    scope: Optional[Span]
    remark: Optional[Span]
    value: Span
    #: Whether the value is written like a measured one.
    is_measurement: bool
    #: Whether it makes its line a report if the name is that of a measurement.
    is_evidence: bool
    #: Whether the number may be a line number in a file.
    is_place: bool
    #: Whether all of its words are the name of a measurement.
    is_sentence: bool = False


class LineForm(NamedTuple):
    """Where the numbers of a line are."""

    counts: Tuple[FormCount, ...]
    #: The indexes of the counts that are the step and the epoch; None for none.
    step: Optional[int]
    epoch: Optional[int]
    #: The number and the total of each progress bar.
    bars: Tuple[Tuple[Span, Span], ...]
    pairs: Tuple[FormPair, ...]
    #: Whether there is a step and no other word.
    is_heading: bool
    is_validation: bool

    def read(self, line: str) -> Optional[LogLine]:
        """What `line` says; None if it is not a report. One with only an epoch has no values."""
        step = None if self.step is None else self._count(line, self.step)
        epoch = None if self.epoch is None else self._count(line, self.epoch)
        if (step is None) != (self.step is None) or (epoch is None) != (self.epoch is None):
            return None
        bars = self._bars(line) if self.bars else []
        if len(bars) > 1 and epoch is None:
            epoch = bars[0]
        values, is_report = self._values(line, bool(bars))
        if step is None and epoch is None and not is_report:
            return None
        is_of_epoch = self.step is None or self.counts[self.step].word == "batch"
        if step is None and bars and not self.is_validation:
            step = bars[-1]
        return LogLine(step, epoch, values, is_of_epoch, self.is_heading)

    def _count(self, line: str, place: int) -> Optional[Count]:
        word, at, of = self.counts[place]
        return as_count(word, line[slice(*at)], line[slice(*of)] if of else "")

    def _bars(self, line: str) -> List[Count]:
        found = ((int(line[slice(*at)]), int(line[slice(*of)])) for at, of in self.bars)
        return [Count(at, total) for at, total in found if at <= total]

    def _values(self, line: str, is_bar: bool) -> Tuple[Dict[str, float], bool]:
        """The metrics of a line, and whether it is a report even without a step."""
        values: Dict[str, float] = {}
        is_report = False
        #: Names with two values in the line: it is not known which one counts.
        unclear = set()
        for pair in self.pairs:
            words = line[slice(*pair.name)]
            if pair.remark is not None:
                words += " " + line[slice(*pair.remark)]
            name, is_measured_name, before = _sentence(words) if pair.is_sentence else _named(words)
            if pair.is_place and not is_measured_name:
                continue
            found = list(before)
            value = read_value(name, line[slice(*pair.value)]) if name else None
            if value is not None and (pair.is_measurement or not is_split(name)):
                found.append((name, value))
                is_report |= is_measured_name and (is_bar or pair.is_evidence)
            for name, value in found:
                if pair.scope is not None and line[slice(*pair.scope)] != name:
                    name = line[slice(*pair.scope)] + "/" + name
                if name not in values:
                    values[name] = value
                elif values[name] != value:
                    unclear.add(name)
        for name in unclear:
            del values[name]
        return values, is_report


def read_value(name: str, text: str) -> Optional[float]:
    """The value of a metric: a number, or NaN for text that says that there is none.

    Of a mean and its deviation, the mean; a ratio if the name is that of one.
    """
    value = number(text)
    if value is not None:
        return value
    text = text.rstrip(":")
    value = number(text)
    if value is not None:
        return value
    if _NO_NUMBER.fullmatch(text):
        return float("nan")
    spread = _SPREAD.fullmatch(text)
    if spread is not None:
        return number(spread.group(1))
    ratio = _RATIO.fullmatch(text)
    if ratio is None or not int(ratio.group(2)) or not _RATIO_NAMES.search(name):
        return None
    return int(ratio.group(1)) / int(ratio.group(2))


def as_count(word: str, text: str, of: str = "") -> Optional[Count]:
    """How far a count is; None if that is not a whole number. A part of an epoch counts as one."""
    if len(text) < 16 and text.isdecimal() and text.isascii() and not of:
        return Count(int(text))
    at = number(text)
    if at is None or not 0 <= at < MOST_STEPS or (at != int(at) and word != "epoch"):
        return None
    total = number(of) if of else None
    # ``'epoch': 1.0`` of Hugging Face is the progress of the training, not the number of an epoch
    at = int(at) if "." not in text else at
    return Count(at, int(total) if total and total < MOST_STEPS else None)


class _Named(NamedTuple):
    """The words before a value: the metric's name, '' for none, and pairs before it."""

    name: str
    is_measured: bool
    before: Tuple[Tuple[str, float], ...]


def _sentence(words: str) -> _Named:
    return _Named("_".join(words.split()), True, ())


@lru_cache(maxsize=1024)
def _named(words: str) -> _Named:
    before = []
    name = ""
    for word in words.split():
        # in ``loss nan lr`` a value is among the words
        value = read_value(name, word) if name else None
        if value is None:
            name += " " + word if name else word
            continue
        # in ``number of nan iterations`` it is not a value
        metric, name = "" if name.endswith(" of") else metric_name(name), ""
        if metric:
            before.append((metric, value))
    return _Named(metric_name(name), is_measured(words), tuple(before))
