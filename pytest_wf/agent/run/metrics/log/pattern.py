"""The user's own regular expression for log lines: `METRICS_LOG_PATTERN`.

The controller has judged it (`config/log_pattern.py`): it is searched in bounded time in lines of
at most `MAX_CHARS` characters.
"""

import re
from typing import Any, Dict, Optional

from pytest_wf.agent.run.metrics.log.form import LogLine, as_count

#: Longer lines are not searched, as the time grows with the cube of their length.
MAX_CHARS = 500

_NAME, _VALUE = "name", "value"
_DIGITS = "0123456789."
#: Characters that make a longer number of the text in a group.
_CUT_BEFORE = re.compile(r"[0-9](?:[.,]|[eE][-+]?)?\Z|\.\Z")
_CUT_BEHIND = re.compile(r"[0-9]|[.,][0-9]|[eE][-+]?[0-9]")


class LogPattern:
    """Finds what the named groups of a pattern match: metrics by name, and pairs of both."""

    def __init__(self, text: str) -> None:
        self._pattern = re.compile(text)
        self._groups = [name for name in self._pattern.groupindex if name not in (_NAME, _VALUE)]
        self._has_pair = _NAME in self._pattern.groupindex
        self._own = frozenset(name.casefold() for name in self._groups)

    def merged(self, line: str, found: Optional[LogLine]) -> Optional[LogLine]:
        """What the pattern finds in `line`, and all other names that the grammar `found` there.

        A metric that a group is named after comes from the pattern alone, in whatever case.
        """
        said: Dict[str, Any] = self.read(line)
        if not said and (found is None or not self._own):
            return found
        own = self._own.union(map(str.casefold, said))
        values, step, epoch, is_of_epoch = {}, None, None, False
        if found is not None:
            values = {name: v for name, v in found.values.items() if name.casefold() not in own}
            step = None if "step" in own else found.step
            epoch = None if "epoch" in own else found.epoch
            is_of_epoch = found.is_of_epoch
        own_step = as_count("step", said.pop("step", ""))
        epoch = as_count("epoch", said.pop("epoch", "")) or epoch
        is_heading = own_step is not None
        return LogLine(own_step or step, epoch, {**values, **said}, is_of_epoch, is_heading)

    def read(self, line: str) -> Dict[str, str]:
        """The text of each metric in a line, the first if one has several; '' if cut."""
        found: Dict[str, str] = {}
        if len(line) > MAX_CHARS:
            return found
        for match in self._pattern.finditer(line):
            for name in self._groups:
                _take(found, name, match, name)
            if self._has_pair and match.group(_NAME):
                _take(found, "_".join(match.group(_NAME).split()), match, _VALUE)
        return found


def _take(found: Dict[str, str], name: str, match: "re.Match[str]", group: str) -> None:
    text: Optional[str] = match.group(group)
    if not text or name in found:
        return
    start, end = match.span(group)
    line = match.string
    is_cut = text[0] in _DIGITS and _CUT_BEFORE.search(line[max(0, start - 3) : start])
    is_cut = is_cut or (text[-1] in _DIGITS and _CUT_BEHIND.match(line, end))
    found[name] = "" if is_cut else text.strip()
