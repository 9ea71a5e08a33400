"""FineWeb shards: 256 int32 of header, then two bytes a token."""

import os
import struct
from typing import Any, Dict, List, NamedTuple

#: A training needs at least one of each.
KINDS = ("train", "val")

_HEADER = struct.Struct("<256i")
_MAGIC = 20240520
_VERSION = 1
_TOKEN_BYTES = 2


class Shard(NamedTuple):
    """One shard as it stands on a disk; `why` is empty where it is whole."""

    name: str
    bytes: int
    tokens: int
    why: str

    def as_json(self) -> Dict[str, Any]:
        """For the evidence."""
        return {key: value for key, value in self._asdict().items() if value != ""}


def look(folder: str) -> List[Shard]:
    """All shards in `folder`, by name; none where it cannot be listed."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    kinds = tuple("fineweb_%s_" % kind for kind in KINDS)
    shards = [name for name in names if name.startswith(kinds) and name.endswith(".bin")]
    return [look_at(os.path.join(folder, name)) for name in shards]


def look_at(path: str) -> Shard:
    """The shard at `path`: its header is read, and compared with its size."""
    name = os.path.basename(path)
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            head = f.read(_HEADER.size)
    except OSError as e:
        return Shard(name, 0, 0, str(e.strerror or e))
    if len(head) < _HEADER.size:
        return Shard(name, size, 0, "%d bytes are less than a header" % size)
    magic, version, tokens = _HEADER.unpack(head)[:3]
    expected = _HEADER.size + _TOKEN_BYTES * tokens
    why = ""
    if magic != _MAGIC:
        why = "its magic number is %d, not %d" % (magic, _MAGIC)
    elif version != _VERSION:
        why = "it is of version %d, not %d" % (version, _VERSION)
    elif tokens < 1:
        why = "it says that it has %d tokens" % tokens
    elif size != expected:
        why = "%d tokens are %d bytes, and it has %d" % (tokens, expected, size)
    return Shard(name, size, 0 if why else tokens, why)


def lacking(shards: List[Shard]) -> List[str]:
    """Kinds of which there is no whole shard in `shards`."""
    whole = [shard.name for shard in shards if not shard.why]
    return [k for k in KINDS if not any(name.startswith("fineweb_%s_" % k) for name in whole)]
