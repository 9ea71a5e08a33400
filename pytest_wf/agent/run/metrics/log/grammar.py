"""The grammar of log lines such as ``step 100: train loss 1.23, val loss 1.30``.

    line      { count | pair | scope | value | anything else }
    count     a word such as step, iter or epoch, and how far it is: step 3, Epoch [3/10];
              of a progress bar and in brackets the numbers alone: 3/10
    pair      name [ "(" remark ")" ] ( "=" | ":" | blanks ) value, or name (value); one may be
              quoted
    name      up to four words, joined by "_" in the metric's name
    scope     word "[" pairs "]", whose names begin with the word: tot_loss[loss=3]; so do those of
              "{" pairs "}" after the name of a part of the data: "val": {"loss": 3}
    value     all up to the next blank, comma, semicolon, bar, bracket or quote

Only a value that is a number (`numbers`) and belongs to a name is taken: ``1.2M tok/s`` has no
name. A line without a step or an epoch is a report if it has a measurement (`names`), written as
one.

The parts of a line do not depend on its digits: no expression here may match a certain digit.
"""

import re
from itertools import chain
from typing import Iterator, List, Match, NamedTuple, Optional

from pytest_wf.agent.run.metrics.log.form import (
    NO_NUMBER,
    FormCount,
    FormPair,
    LineForm,
    LogLine,
    Span,
)
from pytest_wf.agent.run.metrics.log.metric_names import (
    MEASURED_WORDS,
    is_measured,
    is_ordinary,
    is_remark,
    is_split,
)
from pytest_wf.agent.run.metrics.log.splits import in_splits
from pytest_wf.agent.run.metrics.log.text import plain, spelled
from pytest_wf.agent.run.metrics.numbers import RATE, UNIT

# A comma before a digit does not end a value: it may separate thousands, or decimals.
_PIECE = r"[^ \t,;|()\[\]{}\"']*"
_UP_TO = _PIECE + r"(?:,(?=[-+.]?[0-9])" + _PIECE + r")*"
_NOT_FINITE = r"(?:[Nn][Aa][Nn]|[Ii][Nn][Ff](?:[Ii][Nn][Ii][Tt][Yy])?)(?![A-Za-z_])|\u221e"
_VALUE = r"(?:[-+.]?[0-9]|[-+]?(?:%s)|%s)%s" % (_NOT_FINITE, NO_NUMBER, _UP_TO)
# the name of a metric over thresholds, mAP@0.5:0.95, holds a colon, and no value follows that colon
_THRESHOLDS = r"[0-9]?\.[0-9]+:[0-9]?\.[0-9]+(?=[ \t:=])"
# valid_0's l2 is LightGBM's
_WORD = (
    r"[A-Za-z_][A-Za-z0-9_/.-]*"
    r"(?:@(?:%(thresholds)s|(?!%(thresholds)s)[A-Za-z0-9_/.@-]*)|'s(?=[ \t]))?"
) % {"thresholds": _THRESHOLDS}
_END = r"(?![A-Za-z0-9_/.@=:-])"
_TIME = r"(?:days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|[mu]?s)"
# after a value and a blank: what makes another number of it
_MORE = "|".join(
    (
        r"[0-9]{3}(?:[.,][0-9]+)*(?![^ \t,;|)\]}])",  # thousands
        r"[kKMGBT](?![A-Za-z0-9_.@=:-])|[kKMGBT]" + RATE + _END,  # factors
        r"(?i:hundred|thousand|[mbtr]+illion|mio|mrd|bn)" + _END,
        r"[eE][-+]?[0-9]+" + _END,  # an exponent
        # an operation and what it ends in, a change, a fraction
        r"(?:[*/^x\u00b7\u00d7]|-+>|=>|\u2192)[ \t]*[-+.]?[0-9][0-9.]*(?:[ \t]*%s%s)?"
        % (UNIT, _END),
        r"[\u00bc-\u00be]",
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
    # a unit or a remark may follow the name
    r"(?:[ \t]?\((?:%(unit)s|[A-Za-z]+(?:/[A-Za-z]+)+|([A-Za-z][A-Za-z ]{0,40}))\)[\"']?"
    r"(?=[ \t]*[:=]))?"
    r"([ \t]*(?::?=|:|[-=]>|\u2192)[ \t]*|[ \t]+))?"
    # how Python shows the arrays of libraries
    r"[\"']?(?:(?:[a-z]{1,8}\.)?(?:[tT]ensor|(?:Device)?Array|array|float[0-9]{0,3})\()?([\[(])?"
    r"(%(value)s)"
    r"(?:[ \t]+(?:(%(more)s)|"
    r"%(unit)s(?=[ \t,;|)\]}]|\Z)(?![ \t]*[:=]|[ \t]+[-+.]?[0-9])))?"
    % {"word": _WORD, "value": _VALUE, "more": _MORE, "unit": UNIT}
)
_WHOLE = r"[-+]?[0-9][^ \t,;|:()\[\]{}/\"']*(?:,(?=[0-9])[^ \t,;|:()\[\]{}/\"']*)*"
# A count has one of these, in a line in lower case.
_COUNTED = ("step", "epoch", "iter", "itr", "num_updates", "batch", "episode")
_COUNT = re.compile(
    r"(?:(?<![a-z0-9_/.-])|(?<=[0-9]/))"
    r"(?:_|(?:(?:trainer/)?global|train|training|cur|current|total|"
    r"(?P<aside>eval(?:uation)?|val(?:id(?:ation)?)?|test))[ _])?"
    r"(steps?|iter(?:ation)?|itr|(?:num_)?timesteps|num_updates|batch|epoch|episode)(?![a-z_])"
    r"[\"']?(?:[ \t]?\((?:train|val|test)\))?"
    r"(?:[ \t]*[:=#][ \t]*|[ \t]+|(?=\[)|(?=[0-9]+(?:[ \t|:,)\]]|\Z)))"
    r"[\"']?[\[(]?[ \t]*(" + _WHOLE + r")"
    r"(?:(?:[ \t]*/|[ \t]of[ \t])[ \t]*([0-9]+(?:,[0-9]{3})*)(?![a-z0-9_]|[.,][0-9]))?[\"']?"
    # a number that goes on is not a count
    r"((?=:?[0-9])|(?=[ \t][0-9]{3}(?![0-9.])))?"
    r"([ \t]?[:=](?=[ \t])|[ \t]is(?=[ \t]))?"
)
# between a name and the count that its value is of
_AT = re.compile(r"[ \t](?:after|at|for|in|of|on|over)[ \t]\Z")
_AT_CHARS = 7
# how long a step took is not a count
_MEASURED_COUNT = re.compile(r"[-+0-9.,]+" + UNIT)
# a line that gives a step and nothing else
_HEADING = re.compile(r"(?:global[ _])?(?:step|iteration|iter|itr|batch|episode|num_updates)\b")
# a progress bar, brackets, or the beginning of a line
_OF = re.compile(
    r"(?:\A|[|\[(])[ \t]*([0-9]{1,15})[ \t]*/[ \t]*([0-9]{1,15})"
    r"(?=[ \t]*(?:\Z|[\]|:;,(\[\u2501])|[ \t]+-[ \t]|"
    r"[ \t]+(?:batches|steps|iters|it|samples)(?![A-Za-z0-9_/]))|"
    # rich draws the bar before it, and times after it
    r"[\u2501\u2578\u257a][ \t]*([0-9]{1,15})/([0-9]{1,15})(?=[ \t]+(?:[0-9]+|-):)"
)
# a bar without a total
_ENDLESS = re.compile(r"(?:\A|[|:])[ \t]*([0-9]{1,15})(?:it|/\?)[ \t]\[(?=[0-9])")
# acc: 87.5% [112/128] is not how far the run is
_SHARE = re.compile(r"[A-Za-z_][\"']?[ \t]*[:=][ \t]*[0-9]+(?:\.[0-9]+)?[ \t]?%[ \t]*\Z")
_SHARE_CHARS = 24
# at the beginning of a line: a round, as [10] or 10: and a tab, or an epoch and its step, as
# [1, 2000]; after the prefix of a logger, [100] before name=value
_ROUND = re.compile(
    r"[ \t]*\[(?:([0-9]{1,15}),[ \t]*)?([0-9]{1,15})\](?(1)[ \t]|\t)|([0-9]{1,15}):\t|"
    r"[^\[\]]*\][ \t]+\[([0-9]{1,15})\][ \t]+(?=[A-Za-z_][A-Za-z0-9_/.-]*=)"
)
# tot_loss[loss=3, over 10 frames. ]
_SCOPE = re.compile(r"(?<![^ \t,;|(])([A-Za-z_][A-Za-z0-9_/.-]*)\[([^\[\]]*)\]")
_OBJECT = re.compile(
    r"(?<![A-Za-z0-9_/.-])([A-Za-z_][A-Za-z0-9_/.-]*)[\"']?[ \t]*[:=][ \t]*\{([^{}]*)\}"
)
# the bar of a validation is not that of the training
_VALIDATION = re.compile(
    r"(?:\A|[ \t(\[|])(?:test(?:ing)?|val(?:id(?:at(?:ion|ing))?)?|eval(?:uat(?:ion|ing))?)"
    r"(?=[ \t]*[:)\[\]]|[ \t](?:DataLoader|epoch))",
    re.IGNORECASE,
)
# Accuracy of the network on the 10000 test images: 54 %
_SENTENCE = re.compile(
    r"(?<![^ \t,;|(\[{])(((?:[A-Za-z_]+[ \t]){1,3})(?:for|of|on|over)(?:[ \t][A-Za-z0-9_-]+){1,9})"
    r"(?:[ \t]*[:=][ \t]*|[ \t]is[ \t]+)(%s)(?![ \t]+(?:%s))([ \t]+%%)?" % (_VALUE, _MORE)
)
# W&B's own lines: at a run's end, the last value of each metric again, rounded
_RECAP = re.compile(r"[ \t]*wandb: ")
_LETTER = re.compile(r"[^\W_]")
_PLACE = re.compile(r"[)\]]| - |:[ \t]")
# what follows the percentage of a progress bar
_BAR = re.compile(r"\|[ #\u2580-\u259f0-9]*[|;]")
# loss 0.5 at step 3
_NEXT_WORD = re.compile(r" (?=[A-Za-z])(?!(?:after|and|at|for|from|in|on|over|with)[ \t;])")
_MEASUREMENT = re.compile(r"[0-9][eE%]|\.[0-9]|/[0-9]|nan|inf", re.IGNORECASE)
# the arguments of a call, or of what prints itself as one
_CALL = re.compile(r"[A-Za-z0-9_]\([^(){]*\Z")
# Of several counts in one line, the first of these is the step.
_STEP_WORDS = (
    *("num_updates", "step", "steps", "timesteps", "num_timesteps", "iteration", "iter", "itr"),
    *("batch", "episode"),
)
# replaces what has been read; it ends a value
_FILLER = ";"

#: Every report has one of these, in lower case and with 0 for each digit.
HINT = "|".join((*_COUNTED, *(word.replace("1", "0") for word in MEASURED_WORDS), r"\]\t", r"0:\t"))


def read_line(line: str) -> Optional[LogLine]:
    """The content of one line; None if it is not a report."""
    line = spelled(plain(line))
    form = form_of(line)
    return None if form is None else form.read(line)


def form_of(line: str) -> Optional[LineForm]:
    """The form of a line without terminal escapes; None if no line of this form is a report."""
    counts = _counts(line, line.lower() if line.isascii() else _lower(line))
    if counts is None or _RECAP.match(line):
        return None
    rest = line
    for found in counts:
        rest = _filled(rest, found.whole, ":" if found.is_label else _FILLER)
    bars = _bars(rest) if "/" in rest else []
    for bar in bars:
        rest = _filled(rest, bar.span(), _FILLER)
    words = [found.form.word for found in counts]
    globals_ = [place for place, found in enumerate(counts) if found.is_global]
    steps = (words.index(word) for word in _STEP_WORDS if word in words)
    step = next(chain(globals_, steps), None)
    if step is not None and words[step] == "batch" and "epoch" not in words:
        step = step if counts[step].form.of else None
    return LineForm(
        tuple(found.form for found in counts),
        step,
        words.index("epoch") if "epoch" in words else None,
        tuple((bar.span(1), bar.span(2)) if bar[1] else (bar.span(3), bar.span(4)) for bar in bars),
        tuple(in_splits(rest, list(_pairs(rest)))),
        is_heading=step is not None and counts[step].is_heading and not _LETTER.search(rest),
        is_validation=bool(bars) and _VALIDATION.search(line) is not None,
    )


def _bars(line: str) -> "List[Match[str]]":
    """The progress bars of a line; not what follows a percentage, if there is another one."""
    bars = list(_OF.finditer(line))
    shares = [
        bar for bar in bars if _SHARE.search(line, max(0, bar.start() - _SHARE_CHARS), bar.start())
    ]
    return [bar for bar in bars if bar not in shares] or bars


class _FoundCount(NamedTuple):
    form: FormCount
    whole: Span
    #: Whether it is that of one step: ``total_steps: 3`` is not.
    is_heading: bool
    #: Whether it is between a name and its value, as in ``loss at step 3: 2.5``.
    is_label: bool = False
    #: Whether it is one of the whole run, as its words say.
    is_global: bool = False


def _lower(line: str) -> str:
    """`line` in lower case, each character in its place."""
    lower = line.lower()
    return lower if len(lower) == len(line) else line


def _filled(line: str, span: Span, mark: str) -> str:
    """`line` with `mark` in place of a part, each other character in its place."""
    start, end = span
    width = end - start
    return line[:start] + (mark * width if mark == _FILLER else mark.ljust(width)) + line[end:]


def _counts(line: str, lower: str) -> Optional[List[_FoundCount]]:
    """The counts of a line; None if the number of one goes on after it."""
    counts: List[_FoundCount] = []
    for found in _COUNT.finditer(lower) if any(word in lower for word in _COUNTED) else ():
        aside, word, text, of, goes_on, colon = found.groups()
        start, end = found.span()
        if _MEASURED_COUNT.fullmatch(text) or lower.endswith("per ", 0, start) or (aside and of):
            continue
        if goes_on is not None:
            return None
        at = _AT.search(lower, max(0, start - _AT_CHARS), start) if colon else None
        if at is not None:
            start = at.start()
        count = FormCount(word, found.span(3), found.span(4) if of else None)
        is_heading = _HEADING.match(lower, start) is not None
        is_global = "global" in lower[found.start() : found.start(2)]
        counts.append(_FoundCount(count, (start, end), is_heading, at is not None, is_global))
    if all(count.form.word == "epoch" for count in counts):
        endless = None if _VALIDATION.search(line) else _ENDLESS.search(line)
        if endless is not None:
            count = FormCount("iteration", endless.span(1), None)
            counts.append(_FoundCount(count, endless.span(), False))
    head = None if counts else _ROUND.match(line)
    if head is not None and head.group(1):
        whole, split = head.end(), head.end(1)
        counts.append(_FoundCount(FormCount("epoch", head.span(1), None), (0, split), False))
        counts.append(_FoundCount(FormCount("batch", head.span(2), None), (split, whole), False))
    elif head is not None:
        count = FormCount("iteration", head.span(head.lastindex or 0), None)
        counts.append(_FoundCount(count, head.span(), False))
    return counts


def _pairs(line: str) -> Iterator[FormPair]:
    """The pairs of a line without its counts."""
    scopes = list(_SCOPE.finditer(line)) if "[" in line else []
    objects = _OBJECT.finditer(line) if "{" in line else ()
    scopes += (found for found in objects if is_split(found.group(1)))
    pairs = list(_PAIR.finditer(line))
    sentences = list(_sentences(line))
    yield from sentences
    for found, behind in zip(pairs, [*pairs[1:], None]):
        if any(one.name[0] <= found.start() < one.value[1] for one in sentences):
            continue
        words, remark, between, _, text, more = found.groups()
        if words is None or more or _is_no_pair(found, behind):
            continue
        if remark and not is_remark(remark) and remark.count(" ") > 1:
            continue
        is_measurement = _is_measurement(text, line[found.end(5) : found.end()])
        is_named = bool(between and between.strip()) or not is_ordinary(words)
        yield FormPair(
            found.span(1),
            next((s.span(1) for s in scopes if s.start(2) <= found.start() < s.end(2)), None),
            found.span(2) if remark and not is_remark(remark) else None,
            found.span(5),
            is_measurement,
            is_evidence=is_measurement and is_named and not _CALL.search(line, 0, found.start()),
            # (trainer:123)
            is_place=between == ":" and text.isdigit() and bool(_PLACE.match(line, found.end())),
        )


def _sentences(line: str) -> Iterator[FormPair]:
    """The measurements of a line whose names are half a sentence."""
    for found in _SENTENCE.finditer(line):
        _, head, text, unit = found.groups()
        if not is_measured(head.rstrip()) or is_ordinary(head.rstrip()):
            continue
        if _is_measurement(text, unit or "") and not _CALL.search(line, 0, found.start()):
            yield FormPair(found.span(1), None, None, found.span(3), True, True, False, True)


def _is_measurement(text: str, unit: str) -> bool:
    """Whether a value is written like a measured one."""
    return _MEASUREMENT.search(text) is not None or unit.endswith("%")


def _is_no_pair(found: "Match[str]", behind: "Optional[Match[str]]") -> bool:
    """Whether the number belongs to something other than the words before it."""
    line, end = found.string, found.end()
    _, _, between, bracket, text, _ = found.groups()
    if bracket and ("," in text or line[end : end + 1] != (")" if bracket == "(" else "]")):
        return True
    if text[-1] == "%" and _BAR.match(line, end):
        return True
    if between is None or between.strip():
        return False
    # in ``saved 3 files``, it is the number of files
    word = _NEXT_WORD.match(line, end)
    return word is not None and (behind is None or behind.start() != word.end())
