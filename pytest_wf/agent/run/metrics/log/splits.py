"""Names that a line has for several parts of the data, such as train and val."""

import re
from bisect import bisect
from typing import Dict, Iterator, List, Optional

from pytest_wf.agent.run.metrics.log.form import FormPair, Span

# the parts of the data that names belong to: train loss 0.5 acc 0.8, val loss 0.6 acc 0.7
_SPLIT = re.compile(
    r"(?<![A-Za-z0-9_/.-])(?:train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|dev)"
    r"(?![A-Za-z0-9_/.-])",
    re.IGNORECASE,
)
_ZEROS = str.maketrans("123456789", "000000000")


def in_splits(line: str, pairs: List[FormPair]) -> Iterator[FormPair]:
    """`pairs`, those of one name with the parts of the data before them, if these differ."""
    splits = [found.span() for found in _SPLIT.finditer(line)] if len(pairs) > 1 else []
    ends = [end for _, end in splits]
    by_name: Dict[str, List[Optional[Span]]] = {}
    places = []
    for pair in pairs:
        behind = bisect(ends, pair.name[0])
        words = line[slice(*pair.name)].translate(_ZEROS)
        places.append((words, splits[behind - 1] if behind else None))
        by_name.setdefault(words, []).append(places[-1][1])
    parted = {name for name, among in by_name.items() if _are_parted(line, among)}
    for pair, (words, place) in zip(pairs, places):
        yield pair._replace(scope=place) if words in parted and pair.scope is None else pair


def _are_parted(line: str, splits: List[Optional[Span]]) -> bool:
    """Whether each of several equal names belongs to another part of the data."""
    words = {line[slice(*span)].lower() for span in splits if span is not None}
    return len(splits) > 1 and len(words) == len(splits)
