"""Sources of metrics: their names, and the order in which they count.

A source is a file, named by its path below ``out_dir``, or one of `LOG` and `TENSORBOARD`. For each
metric, the first source in the order that has it counts; names are compared case-insensitively.
"""

METRICS_JSONL = "metrics.jsonl"
LOG = "log"
TENSORBOARD = "tensorboard"

#: Names of files, and other sources, in the order in which they count.
ORDER = (
    METRICS_JSONL,
    "trainer_state.json",
    "metrics.csv",
    "results.csv",
    "progress.csv",
    "summary.csv",
    "all_results.json",
    "eval_results.json",
    "train_results.json",
    LOG,
    TENSORBOARD,
)

#: The prefix of the names of TensorBoard's files, and how to see their curves.
EVENT_FILES = "events.out.tfevents."
WITH_TENSORBOARD = (
    "with `pip install 'pytest-wf[tensorboard]'` the page has curves of those that are fetched"
)


def rank(source: str) -> int:
    """Place of a source in the order; the last one for an unknown source."""
    kind = source.rpartition("/")[2]
    return ORDER.index(kind) if kind in ORDER else len(ORDER)
