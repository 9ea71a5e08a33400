"""Sources of metrics: their names, and the order in which they count.

A source is a file, named by its path below ``out_dir``, or one of `LOG` and `TENSORBOARD`. For
each metric the first source in the order counts that has it; names are compared without regard
to case.
"""

from typing import Dict, Iterable, Tuple

METRICS_JSONL = "metrics.jsonl"
LOG = "log"
TENSORBOARD = "tensorboard"

#: Names of files, and other sources, in the order in which they count.
ORDER = (
    METRICS_JSONL,
    "trainer_state.json",
    "metrics.csv",
    "results.csv",
    "all_results.json",
    "eval_results.json",
    "train_results.json",
    LOG,
    TENSORBOARD,
)


def rank(source: str) -> int:
    """Place of a source in the order; that of an unknown one is the last."""
    kind = source.rpartition("/")[2]
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def counting(found: Iterable[Tuple[str, str]]) -> Dict[str, str]:
    """The source that counts for each metric, of pairs of a source and a metric that it has.

    Of several sources with one place in the order, the first pair counts.
    """
    best: Dict[str, Tuple[int, str, str]] = {}
    for source, name in found:
        key, place = name.casefold(), rank(source)
        if key not in best or place < best[key][0]:
            best[key] = (place, source, name)
    return {name: source for _, source, name in best.values()}
