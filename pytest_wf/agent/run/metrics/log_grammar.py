"""The grammar of log lines such as ``step 100: train loss 1.23, val loss 1.30``.

    line      { count | pair | value | anything else }
    count     a word such as step, iter or epoch, and how far it is: step 3, Epoch [3/10];
              of a progress bar and in brackets the numbers alone: 3/10
    pair      name ( "=" | ":" | blanks ) value, or name (value); one may be quoted
    name      up to four words, joined by "_" in the metric's name
    value     what stands up to the next blank, comma, semicolon, bar, bracket or quote

Only a value that is a number (`numbers`) and belongs to a name is taken: of ``1.2M tok/s`` it is
not said what it is. A line without a step or an epoch is a report where it has a measurement
(`log_names`), written as one.
"""

import re
from typing import Any, Dict, List, Match, NamedTuple, Optional, Tuple

from pytest_wf.agent.run.metrics.log_names import MEASURED_WORDS, is_measured, metric_name
from pytest_wf.agent.run.metrics.numbers import RATE, UNIT, number

# A comma before a digit does not end a value: thousands may be parted by it, or decimals.
_PIECE = r"[^ \t,;|()\[\]{}\"']*"
_UP_TO = _PIECE + r"(?:,(?=[-+.]?[0-9])" + _PIECE + r")*"
_NO_NUMBER = r"(?:[Nn][Oo][Nn][Ee]|[Nn][Uu][Ll][Ll]|N/A)(?![A-Za-z_])"
_NOT_FINITE = r"(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?)(?![A-Za-z_])|\u221e"
_VALUE = r"(?:[-+.]?[0-9]|[-+]?(?:%s)|%s)%s" % (_NOT_FINITE, _NO_NUMBER, _UP_TO)
# the name of a metric over thresholds, mAP@0.5:0.95, holds a colon; valid_0's l2 is LightGBM's
_WORD = (
    r"[A-Za-z_][A-Za-z0-9_/.-]*"
    r"(?:@(?:0?\.[0-9]+:0?\.[0-9]+(?=[ \t:=])|[A-Za-z0-9_/.@-]*)|'s(?=[ \t]))?"
)
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
_PAIR = re.compile(
    # at the beginning of a word
    r"(?<![^ \t,;|(\[{:\"'\]>])"
    r"(?:(%(word)s(?:[ \t]%(word)s){0,3})[\"']?"
    # a unit may stand behind the name
    r"(?:[ \t]?\(%(unit)s\)(?=[ \t]*[:=]))?"
    r"([ \t]*[:=][ \t]*|[ \t]+))?"
    r"[\"']?(?:([\[(])|(?:tensor|Array|(?:np\.|numpy\.)?float(?:16|32|64)?)\()?"
    r"(%(value)s)"
    r"(?:[ \t]+(?:(%(more)s)|"
    r"%(unit)s(?=[ \t,;|)\]}]|\Z)(?![ \t]*[:=]|[ \t]+[-+.]?[0-9])))?"
    % {"word": _WORD, "value": _VALUE, "more": _MORE, "unit": UNIT}
)
_WHOLE = r"[-+]?[0-9][^ \t,;|:()\[\]{}/\"']*(?:,(?=[0-9])[^ \t,;|:()\[\]{}/\"']*)*"
# A count has one of these, in a line in lower case.
_COUNTED = ("step", "epoch", "iter", "itr", "num_updates", "batch", "episode")
_COUNT = re.compile(
    r"(?<![a-z0-9_/.-])"
    r"(?:(?:(?:trainer/)?global|train|training|eval|val|test|current|total)[ _])?"
    r"(steps?|iter(?:ation)?|itr|(?:num_)?timesteps|num_updates|batch|epoch|episode)(?![a-z_])"
    r"[\"']?(?:[ \t]?\((?:train|val|test)\))?(?:[ \t]*[:=#][ \t]*|[ \t]+|(?=\[))"
    r"[\"']?[\[(]?[ \t]*(" + _WHOLE + r")(?:[ \t]*/[ \t]*([0-9][0-9,]*))?[\"']?"
    # one that goes on is no count
    r"((?=:?[0-9])|(?=[ \t][0-9]{3}(?![0-9.])))?(:(?= ))?"
)
# a progress bar, brackets, or the beginning of a line
_OF = re.compile(
    r"(?:\A|[|\[(])[ \t]*([0-9]{1,15})[ \t]*/[ \t]*([0-9]{1,15})"
    r"(?=[ \t]*(?:\Z|[\]|:,(\[\u2501])|[ \t]+(?:batches|steps|iters|it|samples)(?![A-Za-z0-9_/]))"
)
# the row of a table that has a name and a value
_ROW = re.compile(
    r"[ \t]*[|\u2502\u2503][ \t]*(%s(?:[ \t]%s){0,3})[ \t]*[|\u2502\u2503][ \t]*([^ \t|]+)[ \t]*"
    r"[|\u2502\u2503][ \t]*" % (_WORD, _WORD)
)
# at the beginning of a line: a round, as [10] and a tab; an epoch and its step, as [1, 2000]
_ROUND = re.compile(r"[ \t]*\[(?:([0-9]{1,15}),[ \t]*)?([0-9]{1,15})\](?(1)[ \t]|\t)")
# a bar of a validation is not that of the training
_VALIDATION = re.compile(
    r"(?:\A|[ \t(\[|])(?:test|val(?:id(?:ation)?)?|eval(?:uation)?)"
    r"(?=[ \t]*[:)\[]|[ \t]DataLoader)",
    re.IGNORECASE,
)
# W&B's own lines: at a run's end, the last value of each metric again, rounded
_RECAP = re.compile(r"[ \t]*wandb: ")
_ODD_WORD = re.compile(r"[ \t](?:nan|inf|%s)" % _NO_NUMBER, re.IGNORECASE)
_RATIO = re.compile(r"([0-9]{1,15})/([0-9]{1,15})")
_RATIO_NAMES = re.compile(
    r"acc(?![a-z])|accuracy|correct|precision|recall|top[-_@]?[0-9]+", re.IGNORECASE
)
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f]"
)
_PLACE = re.compile(r"[)\]]| - |:[ \t]")
# what stands behind the percentage of a progress bar
_BAR = re.compile(r"\|[ #\u2580-\u259f0-9]*\|")
_NEXT_WORD = re.compile(r" (?=[A-Za-z])")
_MEASUREMENT = re.compile(r"[0-9][.eE%]|\.[0-9]|/[0-9]|nan|inf", re.IGNORECASE)
#: Beyond it nothing is a step.
MOST_STEPS = 10**18
# Of several counts in one line, the first of these is the step.
_STEP_WORDS = (
    *("num_updates", "step", "steps", "timesteps", "num_timesteps", "iteration", "iter", "itr"),
    *("batch", "episode"),
)


#: A report has one of these, in lower case.
HINTS = (*_COUNTED, *MEASURED_WORDS, "]\t")


class Count(NamedTuple):
    """How far something is, and of how much."""

    at: float
    total: Optional[int] = None


class LogLine(NamedTuple):
    """What one line says."""

    step: Optional[Count]
    epoch: Optional[Count]
    #: By name; of the user's pattern as text.
    values: Dict[str, Any]
    #: Whether the step is one of the epoch, as far as the line says.
    is_of_epoch: bool = False


def read_line(line: str) -> Optional[LogLine]:
    """What `line` says; None where it is no report. One with an epoch alone has no values."""
    line = plain(line)
    if _RECAP.match(line):
        return None
    row = _ROW.fullmatch(line)
    if row is not None:
        line = row.group(1) + ": " + row.group(2)
    lower = line.lower() if line.isascii() else _lower(line)
    rest, counts = _without_counts(line, lower)
    if counts is None or not (counts or any(word in lower for word in MEASURED_WORDS)):
        return None
    epoch = counts.pop("epoch", None)
    word = next((word for word in _STEP_WORDS if word in counts), "")
    if word == "batch" and not (epoch or counts[word].total):
        word = ""
    rest, bars = _without_bars(rest)
    if len(bars) > 1 and epoch is None:
        epoch = bars[0]
    values, is_report = _values(rest, bool(bars))
    if not (word or epoch or is_report):
        return None
    step = counts[word] if word else None
    if step is None and bars and not _VALIDATION.search(line):
        step = bars[-1]
    return LogLine(step, epoch, values, word in ("", "batch"))


def plain(line: str) -> str:
    """`line` without terminal escapes and control characters."""
    return line if line.isprintable() else _ESCAPES.sub("", line)


def _lower(line: str) -> str:
    """`line` in lower case, each character in its place."""
    lower = line.lower()
    return lower if len(lower) == len(line) else line


def _without_counts(line: str, lower: str) -> Tuple[str, Optional[Dict[str, Count]]]:
    """The line without its counts, and the counts by their word; None where one is no number."""
    counts: Dict[str, Count] = {}
    pieces = ""
    end = 0
    for found in _COUNT.finditer(lower) if any(word in lower for word in _COUNTED) else ():
        start = found.start()
        if found.group(2).endswith("%") or lower.endswith("per ", 0, start):
            continue
        count = _count(found)
        if count is None:
            return line, None
        counts.setdefault(found.group(1), count)
        if found.group(5) and lower.endswith((" at ", " after "), 0, start):
            # of ``loss at step 3: 2.5`` the name and its value are left
            pieces += line[end : lower.rindex(" a", 0, start)] + ":"
        else:
            pieces += line[end:start] + "|"
        end = found.end()
    if counts:
        return pieces + line[end:], counts
    head = _ROUND.match(line)
    if head is None:
        return line, counts
    if head.group(1):
        counts["epoch"] = Count(int(head.group(1)))
    counts["batch" if counts else "iteration"] = Count(int(head.group(2)))
    return line[head.end() :], counts


def _count(found: "Match[str]") -> Optional[Count]:
    word, text, of, goes_on, _ = found.groups()
    # a factor is k in lower case, as in upper case; of the others none stands in a step
    at = number(text.replace("m", "M")) if goes_on is None else None
    if at is None or not 0 <= at < MOST_STEPS or (at != int(at) and word != "epoch"):
        return None
    total = number(of) if of else None
    # ``'epoch': 1.0`` of Hugging Face is how far the training is, not the number of an epoch
    at = int(at) if "." not in text else at
    return Count(at, int(total) if total and total < MOST_STEPS else None)


def _without_bars(line: str) -> Tuple[str, List[Count]]:
    """The line without the counts of progress bars, and these."""
    bars: List[Count] = []
    if "/" not in line:
        return line, bars
    for found in _OF.finditer(line):
        at, total = int(found.group(1)), int(found.group(2))
        if at <= total:
            bars.append(Count(at, total))
    return (_OF.sub("|", line) if bars else line), bars


def _values(line: str, is_bar: bool) -> Tuple[Dict[str, float], bool]:
    """The metrics of a line, and whether it is a report even without a step."""
    values: Dict[str, Optional[float]] = {}
    is_report = False
    pairs = list(_PAIR.finditer(line))
    for found, behind in zip(pairs, [*pairs[1:], None]):
        words, _, _, text, more = found.groups()
        if words is None or more or _is_no_pair(found, behind):
            continue
        name = words if " " not in words and "\t" not in words else _joined(words)
        name = metric_name(_last_name(words, values) if name is None else name)
        value = _value(name, text) if name else None
        if value is not None:
            _add(values, name, value)
            is_report |= is_measured(words) and (is_bar or bool(_MEASUREMENT.search(text)))
    return {name: value for name, value in values.items() if value is not None}, is_report


def _add(values: Dict[str, Optional[float]], name: str, value: float) -> None:
    """Add one value of a line; None where the line has two under one name, as of which is it?"""
    values[name] = value if name not in values or values[name] == value else None


def _is_no_pair(found: "Match[str]", behind: "Optional[Match[str]]") -> bool:
    """Whether the number belongs to something else than the words before it."""
    line, end = found.string, found.end()
    _, between, bracket, text, _ = found.groups()
    if bracket and ("," in text or line[end : end + 1] != (")" if bracket == "(" else "]")):
        return True
    if text[-1] == "%" and _BAR.match(line, end):
        return True
    if between == ":" and text.isdigit():
        # a line of a file: (trainer:123)
        return _PLACE.match(line, end) is not None and not is_measured(found.group(1))
    if between is None or between.strip():
        return False
    # of ``saved 3 files``, it is the number of files
    word = _NEXT_WORD.match(line, end)
    return word is not None and (behind is None or behind.start() != word.end())


def _joined(words: str) -> Optional[str]:
    """`words`; None where one of them may be a value."""
    return None if _ODD_WORD.search(words) else words


def _last_name(words: str, values: Dict[str, Optional[float]]) -> str:
    """The words of the name at the end of `words`; what stands before goes into `values`."""
    name = ""
    for word in words.split():
        value = _value(name, word) if name else None
        if value is None:
            name += " " + word if name else word
            continue
        # of ``number of nan iterations`` it is no value
        before, name = "" if name.endswith(" of") else metric_name(name), ""
        if before:
            _add(values, before, value)
    return name


def _value(name: str, text: str) -> Optional[float]:
    """A number, what says that there is none, as NaN, or a ratio behind a name of one."""
    text = text.rstrip(":")
    value = number(text)
    if value is not None:
        return value
    if re.fullmatch(_NO_NUMBER, text):
        return float("nan")
    ratio = _RATIO.fullmatch(text)
    if ratio is None or not int(ratio.group(2)) or not _RATIO_NAMES.search(name):
        return None
    return int(ratio.group(1)) / int(ratio.group(2))
