"""Whether a checkpoint is whole, as far as its files show without loading them.

A trainer that is killed while it saves leaves a part. Known formats: a zip archive of torch ends
with its directory, and a safetensors file is as long as its header says. A distributed checkpoint
of torch has ``.metadata``, one of Hugging Face's Trainer ends with ``trainer_state.json``, and one
of DeepSpeed is named in ``latest`` when it is whole. Of shards such as
``model-00001-of-00003.safetensors`` all must exist. In other formats only empty files, temporary
names and checkpoints without any state are detected.
"""

import json
import os
import re
import struct
import zipfile
from typing import BinaryIO, Dict, FrozenSet, Iterable, List, NamedTuple, Sequence, Set, Tuple

#: Suffixes of files that hold weights or the state of an optimizer.
STATE_FILES = (
    *(".bin", ".ckpt", ".distcp", ".keras", ".npz", ".pkl", ".pt", ".pth", ".safetensors"),
    *(".tar", ".zip"),
)
_TEMPORARY = re.compile(
    r"^\.|(?:^|[^a-z])tmp(?:[^a-z]|$)|\.(?:temp|part|partial|incomplete)$", re.I
)
_NUMBER = re.compile(r"\d+")
_SHARD = re.compile(r"(.*?)(\d+)-of-(\d+)(.*)", re.DOTALL)
#: Suffixes of files that describe a checkpoint, and hold no state.
_DESCRIPTIONS = (".csv", ".json", ".jsonl", ".log", ".md", ".toml", ".txt", ".yaml", ".yml")
#: JSON files that are models, as XGBoost and others write them.
_MODEL = re.compile(r"(?:^|/)(?:model|booster|checkpoint|ckpt)[^/.]*\.json$")
_MAX_TAG_BYTES = 4096
#: The longest header of a safetensors file that is read; one tensor takes about 100 bytes.
_MAX_HEADER_BYTES = 16 << 20


class File(NamedTuple):
    """A file of a checkpoint."""

    #: Relative to the checkpoint's folder.
    name: str
    size: int
    mtime_ns: int


def is_temporary(name: str) -> bool:
    """Whether a base name is hidden, or that of a file or folder that is being written."""
    return _TEMPORARY.search(name) is not None


def is_whole_folder(path: str, files: Sequence[File]) -> bool:
    """Whether the checkpoint in the folder `path`, which has `files`, is whole."""
    names = {file.name for file in files}
    lacks = any(
        (name.endswith(".distcp") and _beside(name, ".metadata") not in names)
        or (
            os.path.basename(name) == "training_args.bin"
            and _beside(name, "trainer_state.json") not in names
        )
        or any(is_temporary(part) for part in name.split("/") if part != ".metadata")
        for name in names
    )
    checked = [name for name in names if name.endswith((*STATE_FILES, ".json"))]
    return (
        any(not name.endswith(_DESCRIPTIONS) or _MODEL.search(name) for name in names)
        and not lacks
        and _has_all_shards(names)
        and _is_named_by_deepspeed(path, files)
        and all(is_whole_file(os.path.join(path, name)) for name in checked)
    )


def is_whole_file(path: str) -> bool:
    """Whether a file is not empty, and complete by its format."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(fd, "rb") as f:
            return _is_whole(f, path, os.fstat(fd).st_size)
    except (OSError, zipfile.BadZipFile, struct.error):
        return False


def state_of(files: Sequence[File]) -> FrozenSet[str]:
    """The names of the files that hold state, without their numbers.

    A whole checkpoint has all that an earlier one of the same trainer has.
    """
    ends = (*STATE_FILES, ".index.json")
    return frozenset(_NUMBER.sub("0", f.name) for f in files if f.name.endswith(ends))


def _has_all_shards(names: Iterable[str]) -> bool:
    """Whether each file in numbered parts has all its parts."""
    found: Dict[Tuple[str, int, str], Set[int]] = {}
    for shard in filter(None, map(_SHARD.fullmatch, names)):
        before, number, total, behind = shard.groups()
        found.setdefault((before, int(total), behind), set()).add(int(number))
    return all(len(numbers) >= total for (_, total, _), numbers in found.items())


def _is_named_by_deepspeed(path: str, files: Sequence[File]) -> bool:
    """Whether a folder of DeepSpeed was whole when ``latest`` beside it was written.

    The file names the newest whole checkpoint; earlier ones are older than the file.
    """
    if not any(file.name.endswith("_model_states.pt") and "/" not in file.name for file in files):
        return True
    tag = os.path.join(os.path.dirname(path), "latest")
    try:
        fd = os.open(tag, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(fd, "rb") as f:
            named, written_ns = f.read(_MAX_TAG_BYTES), os.fstat(fd).st_mtime_ns
    except OSError:
        return True  # nothing indicates it
    if os.fsencode(os.path.basename(path)) == named.strip():
        return True
    return all(file.mtime_ns <= written_ns for file in files)


def _is_whole(f: BinaryIO, name: str, size: int) -> bool:
    if not size:
        return False
    if name.endswith(".safetensors"):
        return _is_whole_safetensors(f, size)
    if name.endswith(".json"):
        f.seek(max(0, size - 64))
        return f.read().rstrip().endswith((b"}", b"]"))
    return f.read(4) != b"PK\x03\x04" or zipfile.is_zipfile(f)


def _is_whole_safetensors(f: BinaryIO, size: int) -> bool:
    (length,) = struct.unpack("<Q", f.read(8))
    if length > size - 8:
        return False
    if length > _MAX_HEADER_BYTES:
        return True  # as far as it is known
    try:
        tensors = json.loads(f.read(length))
        tensors.pop("__metadata__", None)
        ends: List[int] = [int(tensor["data_offsets"][1]) for tensor in tensors.values()]
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return False
    return 8 + int(length) + max(ends, default=0) == size


def _beside(name: str, other: str) -> str:
    return os.path.join(os.path.dirname(name), other)
