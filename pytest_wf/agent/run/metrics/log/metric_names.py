"""Names in log lines: which of them are metrics, and how they are written in records."""

import re
from functools import lru_cache

# Words of a sentence before or after a name, and words before numbers of something else.
_BEFORE = frozenset(
    "a an and as at by for from has have in is now of on our reached the then to was with".split()
)
_VERBS = frozenset("are is now reached was".split())
_BEHIND = _VERBS.union(("of",))
_OTHERS = frozenset("above at below by from in over than to under".split())
_UNITS = frozenset("s sec secs seconds ms us min minutes h hours mb gb mib gib percent".split())

# Words that are not metrics, whatever number follows: at the end of a name, and alone.
_NO_METRICS = frozenset(
    "id ip pid port rank seed version line lineno localhost timestamp _timestamp ts eta "
    "jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun".split()
)
_NO_NAMES = frozenset(
    "v_num ppid local_rank global_rank world_size node host worker workers gpu gpus cuda device "
    "process python torch pytorch cudnn run_id http https ep it trial epochs "
    "top dp pp tp step steps iter iteration epoch".split()
)
# Parts of the data: metrics if they have the value of a measurement.
_SPLITS = frozenset(
    "train training test testing val valid validation eval evaluation learn dev".split()
)
# First words of a remark after a name that says how it was measured: (for one batch).
_REMARKS = frozenset("at avg average averaged by for from in mean of on over per with".split())
_FILE = re.compile(
    r"\.(?:py|pyc|cc?|cpp|cu|cuh|h|hpp|rs|go|js|ts|sh|txt|md|rst|json|jsonl|ya?ml|toml|ini|cfg|"
    r"csv|tsv|log|pth?|ckpt|bin|npz?|safetensors|parquet|html?|so|whl|zip|t?gz|com|org|net|io|"
    r"local|internal)\Z",
    re.IGNORECASE,
)
# Words that only a measurement has in its name. _MEASURED finds them if they are whole words.
MEASURED_WORDS = (
    *("loss", "acc", "error", "_err", "/err", "ppl", "perplexity", "bpb", "bpc", "score", "rew"),
    *("_return", "f1", "auc", "auroc", "bleu", "rouge", "wer", "cer", "map", "iou", "precision"),
    *("recall", "dice", "psnr", "ssim", "fid", "nll", "elbo", "xent", "mse", "mae", "mrr", "ndcg"),
    *("crossentropy", "cross_entropy"),
)
_MEASURED = re.compile(
    r"(?:\A|[^A-Za-z])(?:(?i:[a-z]*(?:loss(?:es)?|accuracy|perplexity|cross_?entropy)|acc|error|ppl|bp[bc]|scores?|"
    r"rew(?:ards?)?|auc|auroc|bleu|rouge|[wc]er|m?iou|precision|recall|dice|psnr|ssim|fid|nll|"
    r"elbo|xent|r?mse|mae|mrr|ndcg)|mAP|F1(?![0-9])|(?<=[_/-])f1(?![0-9])|(?<=train[_/])err|(?<=val[_/])err|"
    r"(?<=test[_/])err|(?<=episodic_)return|(?<=episode_)return|(?<=mean_)return)"
    r"(?=\Z|[^A-Za-z])"
)
# libgpg-error 1.25, HTTP error 503
_ORDINARY = re.compile(r"(?:error|precision|scores?|map)\Z", re.IGNORECASE)
# loss_weight and the like are set, not measured
_PARAMETER = re.compile(
    r"coef|factor|lambda|margin|scal|smooth|target|thr|tol|weight(?!ed)", re.IGNORECASE
)


@lru_cache(maxsize=1024)
def metric_name(words: str) -> str:
    """The name of the metric that these words are; '' if they are none."""
    parts = words.split()
    if len(parts) > 2 and parts[-2] == "in" and parts[-1] in _UNITS:
        del parts[-2:]
    while parts and parts[-1].lower() in _BEHIND:
        del parts[-1]
    if parts and parts[-1].lower() in _OTHERS:
        return ""
    for place in range(len(parts) - 1, -1, -1):
        if parts[place].lower() in _BEFORE:
            del parts[: place + 1]
            break
    name = "_".join(part.rstrip(".") for part in parts)
    if not parts or parts[-1].lower() in _NO_METRICS or name.lower() in _NO_NAMES:
        return ""
    return "" if _FILE.search(name) else name


def is_split(name: str) -> bool:
    """Whether a name is that of a part of the data alone, such as train or test."""
    return name.lower() in _SPLITS


def is_remark(words: str) -> bool:
    """Whether words in brackets after a name are not a part of it."""
    return words.split(maxsplit=1)[0].lower() in _REMARKS


def is_ordinary(words: str) -> bool:
    """Whether the last of `words`, a measurement's name, is an ordinary word too."""
    return _ORDINARY.search(_core(words)) is not None


@lru_cache(maxsize=1024)
def is_measured(words: str) -> bool:
    """Whether only a measurement has such a name, as a loss or an accuracy does."""
    last = _core(words).rpartition(" ")[2]
    return _MEASURED.search(last) is not None and _PARAMETER.search(last) is None


def _core(words: str) -> str:
    """`words` up to the last that is not a verb, nor a part of the data as in ``loss train``."""
    parts = words.split()
    while len(parts) > 1 and (parts[-1].lower() in _VERBS or is_split(parts[-1])):
        del parts[-1]
    return " ".join(parts)
