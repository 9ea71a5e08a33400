"""Reader of log lines such as ``step 100: train loss 1.23, val loss 1.30``.

    line     step { text | pair | value }
    pair     name ( "=" | ":" | blanks ) value
    name     up to four words, joined by "_" in the metric's name
    value    what stands up to the next blank, comma, semicolon, bar or closing bracket

Only a value that is a number (`numbers`) and belongs to a name is taken: of ``1.2M tok/s`` it is
not said what it is.
"""

import re
from functools import lru_cache
from typing import Dict, Optional

from pytest_wf.agent.run.log_pump import MAX_LINE_CHARS
from pytest_wf.agent.run.metrics.numbers import RATE, UNIT, number
from pytest_wf.agent.run.metrics.values import MetricValues

# A comma before a digit does not end a value: thousands may be parted by it, or decimals.
_UP_TO = r"[^ \t,;|)\]}]*(?:,(?=[-+.]?[0-9])[^ \t,;|)\]}]*)*"
_NO_NUMBER = r"[Nn][Oo][Nn][Ee]|[Nn][Uu][Ll][Ll]|N/A"
_VALUE = r"(?:[-+.]?[0-9]|[-+]?(?:[Nn][Aa][Nn]|[Ii][Nn][Ff])|%s)%s" % (_NO_NUMBER, _UP_TO)
# the name of a metric over thresholds, mAP@0.5:0.95, holds a colon
_WORD = r"[A-Za-z_][A-Za-z0-9_/.-]*(?:@(?:0?\.[0-9]+:0?\.[0-9]+(?=[ \t:=])|[A-Za-z0-9_/.@-]*))?"
_END = r"(?![A-Za-z0-9_/.@=:-])"
_TIME = r"(?:days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|[mu]?s)"
# behind a value and a blank: what makes another number of it
_MORE = "|".join(
    (
        r"[0-9]{3}(?:[.,][0-9]+)*(?![^ \t,;|)\]}])",  # thousands
        r"[kKMGBT](?![A-Za-z0-9_.@=:-])|[kKMGBT]" + RATE + _END,  # factors
        r"(?i:hundred|thousand|[mbtr]+illion|mio|mrd|bn)" + _END,
        r"[eE][-+]?[0-9]+" + _END,  # an exponent
        r"[*/^x\u00b7\u00d7][ \t]*[0-9]|[\u00bc-\u00be]",  # an operation, a fraction
        r"(?:out[ \t]+)?of[ \t]+[0-9]",  # the total
        # the smaller units of a duration
        _TIME + r"(?:,|[ \t]and)?[ \t]+(?:[0-9.]+[ \t]*" + _TIME + _END + r"|[0-9]+:[0-9:.]+)",
        r"(?<=[dhmnrsy][ \t])[0-9.]+[ \t]*" + _TIME + _END,
    )
)
_STEP = re.compile(
    r"[ \t]*(?:step|iter|iteration)[ \t:=]+([0-9][^ \t,;|:)\]}]*(?:,(?=[0-9])[^ \t,;|:)\]}]*)*)"
    r"(?![^ \t]?[0-9]|[ \t][0-9]{3}(?![0-9.]))",
    re.IGNORECASE,
)
_PAIR = re.compile(
    # at the beginning of a word
    r"(?<![^ \t,;|(\[{:])"
    r"(?:(%(word)s(?:[ \t]%(word)s){0,3})"
    r"(?:[ \t]*[:=][ \t]*|[ \t]+))?"
    r"(%(value)s)"
    r"(?:[ \t]+(?:(%(more)s)|"
    r"%(unit)s(?=[ \t,;|)\]}]|\Z)(?![ \t]*[:=]|[ \t]+[-+.]?[0-9])))?"
    % {"word": _WORD, "value": _VALUE, "more": _MORE, "unit": UNIT}
)
_ODD_WORD = re.compile(r"[ \t](?:nan|inf|%s)" % _NO_NUMBER, re.IGNORECASE)
_RATIO = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
_RATIO_NAMES = re.compile(
    r"acc(?![a-z])|accuracy|correct|precision|recall|top[-_@]?[0-9]+", re.IGNORECASE
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
#: Only text that has one of these is split into lines: most output has none.
_WORDS = ("step", "iter", "Step", "Iter")
_MAX_STEP = 10**18


class LogLines:
    """Finds metrics in the log of a run."""

    def __init__(self, _out_dir: str) -> None:
        self.values = MetricValues()

    def take_log(self, text: str) -> None:
        """Read each line that begins with a step."""
        if any(word in text for word in _WORDS):
            for line in text.split("\n"):
                self._take(line)

    def update(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def finish(self) -> None:
        """Read nothing: the log comes by `take_log`."""

    def _take(self, line: str) -> None:
        if len(line) > MAX_LINE_CHARS:
            return
        if "\x1b" in line:
            line = _ESCAPES.sub("", line)
        found = _STEP.match(line)
        if found is None:
            return
        at, _, total = found.group(1).partition("/")
        step = _step(at)
        if step is None:
            return
        values: Dict[str, Optional[float]] = {}
        for words, text, more in _PAIR.findall(line, found.end()):
            name = _joined(words)
            if name is None:
                name = _last_name(words, values)
            value = number(text)
            if value is None:
                value = _special(name, text)
            if value is not None and name and not more:
                _add(values, name, value)
        sure = {name: value for name, value in values.items() if value is not None}
        if sure:
            self.values.take(step, sure)
            self.values.total_steps = _step(total) or self.values.total_steps


def _add(values: Dict[str, Optional[float]], name: str, value: float) -> None:
    """Add one value of a line; None where the line has two under one name, as of which is it?"""
    values[name] = value if name not in values or values[name] == value else None


@lru_cache(maxsize=1024)
def _joined(words: str) -> Optional[str]:
    """The name of these words; None where one of them may be a value."""
    return None if _ODD_WORD.search(words) else "_".join(words.split())


def _last_name(words: str, values: Dict[str, Optional[float]]) -> str:
    """The name at the end of `words`; what stands before it goes into `values`."""
    name = ""
    for word in words.split():
        value = number(word) if name else None
        if value is None and name:
            value = _special(name, word)
        if value is not None:
            _add(values, name, value)
            name = ""
        else:
            name += "_" + word if name else word
    return name


def _special(name: str, text: str) -> Optional[float]:
    """What says that there is no number, as NaN; a ratio behind a name of one."""
    if re.fullmatch(_NO_NUMBER, text):
        return float("nan")
    ratio = _RATIO.fullmatch(text)
    if ratio is None or not int(ratio.group(2)) or not _RATIO_NAMES.search(name):
        return None
    return int(ratio.group(1)) / int(ratio.group(2))


def _step(text: str) -> Optional[int]:
    """A step, which is a whole number; None where `text` is none."""
    if text.isdigit() and len(text) < 18:
        return int(text)
    value = number(text) if text else None
    if value is None or not 0 <= value < _MAX_STEP or value != int(value):
        return None
    return int(value)
