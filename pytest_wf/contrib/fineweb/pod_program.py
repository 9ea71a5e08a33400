"""FineWeb shards on the pod: checked, and downloaded if they are missing.

Runs on the pod under the checkout's Python, 3.8 or later: the standard library, and for a
download huggingface_hub. It is the program of a `DataContract`: its argument names a file with
``{"trainings": [[config, data set or ""], …], "data_dir", "download", "workdir",
"entrypoint"}``; it prints its findings as one JSON object, and exits with 1 if a training lacks its
data.
"""

import ast
import hashlib
import json
import os
import re
import shutil
import stat as modes
import struct
import sys
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

REPOSITORY = "kjj0/fineweb10B-gpt2"
#: The files to download if a kind is missing. A training needs at least one of each.
FILES = {"train": "fineweb_train_000001.bin", "val": "fineweb_val_000000.bin"}
#: Data sets, as training configs name them, that are read from FineWeb shards.
FINEWEB = re.compile(r"(?i)fineweb(?:\d+b)?(?:-gpt2)?")

_HEADER = struct.Struct("<256i")  # then two bytes per token
_MAGIC = 20240520
_VERSION = 1
_TOKEN_BYTES = 2

#: Free space that a download leaves on a disk.
_SPARE_BYTES = 64 * 1024 * 1024
_TRIES = 2
_SHOWN = 20
_MAX_CONFIG_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
_ASSIGNED = re.compile(
    r"""(?m)^[ \t]*["']?dataset["']?[ \t]*(?::[ \t]*str[ \t]*)?[:=][ \t]*["']?([\w./-]+)"""
)
_REMEDY = (
    "Put whole shards there, set DOWNLOAD_FINEWEB=1 to have one of each kind downloaded, or "
    "correct DATA_DIR."
)


class Broken(Exception):
    """Why the contract does not hold, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Shard(NamedTuple):
    """One shard on a disk; `why` is empty if it is whole."""

    name: str
    bytes: int
    tokens: int
    why: str

    def as_json(self) -> Dict[str, Any]:
        """For the evidence."""
        return {key: value for key, value in self._asdict().items() if value != ""}


class Mount(NamedTuple):
    """The file system that a path is on, from the mount table."""

    source: str
    point: str
    kind: str

    @property
    def is_remote(self) -> bool:
        """Whether it is like s3fs, where random writes and renames are copies."""
        return self.kind == "fuse" or self.kind.startswith("fuse.")


def main() -> int:
    """0 if the contract holds, 1 if it does not."""
    with open(sys.argv[1], encoding="utf-8") as f:
        asked = json.load(f)
    facts: Dict[str, Any] = {}
    try:
        check(asked, facts, downloads=os.environ.get("WF_DATA_VERIFY") != "1")
    except Broken as e:
        facts.update(message=str(e), remedy=e.remedy)
    print(json.dumps(facts))
    return 1 if "message" in facts else 0


def check(asked: Dict[str, Any], facts: Dict[str, Any], *, downloads: bool) -> None:
    """Require a whole shard to train on and one to validate on, if a training reads them.

    Fills `facts`. Missing shards are downloaded if `asked` and `downloads` say so. Raises Broken.
    """
    readers = sorted({c for c, named in asked["trainings"] if _is_fineweb(asked, c, named)})
    facts["needed_by"] = readers[:_SHOWN]
    where = asked["data_dir"]
    if not readers or not where:
        facts["checked"] = False
        facts["why"] = "DATA_DIR is empty" if readers else "no training config names it"
        return
    shards = look(where)
    missing = lacking(shards)
    facts["path"] = "present"
    if missing and downloads and asked["download"]:
        _refuse_replacing(where, missing)
        fetch_missing(where, missing, facts)
        shards = look(where)
        missing = lacking(shards)
    bad = [shard for shard in shards if shard.why]
    facts.update(
        checked=True,
        folder=where,
        shards=[shard.as_json() for shard in shards if not shard.why][:_SHOWN],
        count=len(shards) - len(bad),
        tokens=sum(shard.tokens for shard in shards if not shard.why),
        bad=[shard.as_json() for shard in bad][:_SHOWN],
    )
    if missing:
        raise Broken(_wanting(where, missing, bad, readers), _REMEDY)


def _refuse_replacing(where: str, kinds: List[str]) -> None:
    """Raise Broken if a file of the user is in the place of a shard to be downloaded."""
    taken = [os.path.join(where, FILES[kind]) for kind in kinds]
    taken = [path for path in taken if os.path.lexists(path)]
    if taken:
        said = "; ".join(
            "%s is not a whole shard: %s" % (path, look_at(path).why) for path in taken
        )
        raise Broken(said, "Move it away: a download replaces no file.")


def _is_fineweb(asked: Dict[str, Any], config: str, named: str) -> bool:
    """By the row's override, else its config, else the default of the training script."""
    for name in (config, asked["entrypoint"]):
        if not named:
            named = dataset_of(_text(os.path.join(asked["workdir"], name)), name.endswith(".py"))
    return FINEWEB.fullmatch(named.rstrip("/").rpartition("/")[2]) is not None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read(_MAX_CONFIG_BYTES)
    except OSError:
        return ""  # a missing config fails its row, with a message from the trainer


def _wanting(where: str, missing: List[str], bad: List[Shard], readers: List[str]) -> str:
    said = "%s has no whole FineWeb shard to %s, which %s reads" % (
        where,
        " and none to ".join({"train": "train on", "val": "validate on"}[k] for k in missing),
        readers[0] + (" and %d more" % (len(readers) - 1) if len(readers) > 1 else ""),
    )
    for shard in bad[:3]:
        said += "; %s: %s" % (shard.name, shard.why)
    return said


def dataset_of(text: str, is_python: bool) -> str:
    """The data set that a training config names, '' if it names none. Nothing is executed."""
    if is_python:
        try:
            return _assigned(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            pass  # perhaps of a newer Python; its lines can still be read
    found = _ASSIGNED.findall(text)
    return str(found[-1]) if found else ""


def _assigned(module: ast.Module) -> str:
    name = ""
    for node in module.body:
        targets: Sequence[ast.expr] = ()
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = getattr(node, "value", None)
        named = any(isinstance(t, ast.Name) and t.id == "dataset" for t in targets)
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
            name = value.value
    return name


def look(folder: str) -> List[Shard]:
    """All shards in `folder`, by name; none if it cannot be listed."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    kinds = tuple("fineweb_%s_" % kind for kind in FILES)
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
    """Kinds without a whole shard in `shards`."""
    whole = [shard.name for shard in shards if not shard.why]
    return [k for k in FILES if not any(name.startswith("fineweb_%s_" % k) for name in whole)]


def fetch_missing(where: str, kinds: Sequence[str], facts: Dict[str, Any]) -> None:
    """Download one shard of each of `kinds` into `where`. Raises Broken.

    On a file system such as s3fs they are staged on a local disk and copied. What an interrupted
    download left is used by the next one.
    """
    hub = _client()
    names = [FILES[kind] for kind in kinds]
    files = {name: _about(hub, name) for name in names}
    need = sum(int(about["bytes"] or 0) for about in files.values())
    mount = mount_of(where)
    taken: Dict[str, Any] = {}
    facts.update(
        path="staged" if mount.is_remote else "direct",
        mount=dict(mount._asdict()),
        downloaded=taken,
        huggingface_hub=hub.__version__,
    )
    facts["from"] = {
        "repository": REPOSITORY,
        "endpoint": hub.constants.ENDPOINT,
        "files": files,
    }
    try:
        os.makedirs(where, exist_ok=True)
        _demand_room(where, need)
        staging = _staging(need) if mount.is_remote else os.path.join(where, ".wf-part")
        facts["staging"] = staging
        os.makedirs(staging, mode=0o700, exist_ok=True)
        for name in names:
            path, tries = _download(hub, staging, name, files[name])
            final = os.path.join(where, name)
            _place(path, final, copied=mount.is_remote)
            taken[name] = {"sha256": sha256_file(final), "tries": tries}
        shutil.rmtree(staging, ignore_errors=True)
    except OSError as e:
        raise Broken(
            "the shards could not be stored: %s" % e, "Free space, or repair the disk."
        ) from None


def _client() -> Any:
    """huggingface_hub, which reads its endpoint from the environment."""
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")
    try:
        import huggingface_hub
    except ImportError as e:
        raise Broken(
            "DOWNLOAD_FINEWEB=1 needs huggingface_hub, which the checkout's environment lacks: "
            "%s" % e,
            "Let CHECKOUT_INSTALL_CMD install it: `pip install huggingface_hub`.",
        ) from None
    return huggingface_hub


def _about(hub: Any, name: str) -> Dict[str, Any]:
    """Size, digest and commit of a file, from the hub."""
    try:
        url = hub.hf_hub_url(REPOSITORY, name, repo_type="dataset")
        found = hub.get_hf_file_metadata(url)
    except Exception as e:  # noqa: BLE001 - whatever the client raises
        raise _not_downloaded(e) from None
    return {"bytes": found.size, "etag": found.etag, "commit": found.commit_hash}


def _download(hub: Any, staging: str, name: str, about: Dict[str, Any]) -> Tuple[str, int]:
    """The shard's path below `staging`, and the number of the try that gave it whole."""
    path = os.path.join(staging, name)
    why = ""
    for number in range(1, _TRIES + 1):
        try:
            hub.hf_hub_download(
                REPOSITORY,
                name,
                repo_type="dataset",
                local_dir=staging,
                revision=about["commit"],
                force_download=number > 1,
            )
        except Exception as e:  # noqa: BLE001 - whatever the client raises
            raise _not_downloaded(e) from None
        why = _fault(path, about)
        if not why:
            return path, number
        print("%s is refused: %s" % (name, why), flush=True)
        os.unlink(path)
    raise Broken(
        "%s was downloaded %d times and is not whole: %s" % (name, _TRIES, why),
        "Look at HF_ENDPOINT, or put the shard into DATA_DIR by hand.",
    )


def _not_downloaded(error: Exception) -> Broken:
    return Broken(
        "%s could not be downloaded: %s: %s" % (REPOSITORY, type(error).__name__, error),
        "Check the pod's network and HF_ENDPOINT; the next checkout uses what is here.",
    )


def _fault(path: str, about: Dict[str, Any]) -> str:
    """Why the download at `path` is not the requested file; '' if it is."""
    if os.path.islink(path) or not modes.S_ISREG(os.lstat(path).st_mode):
        return "it is not a regular file"
    found = look_at(path)
    if found.why:
        return found.why
    etag = str(about.get("etag") or "")
    if len(etag) == 64 and sha256_file(path) != etag:
        return "its SHA-256 is not %s" % etag
    return ""


def _place(path: str, final: str, *, copied: bool) -> None:
    """Put the whole shard at `final`, by one rename."""
    if not copied:
        _name_created(final)
        os.replace(path, final)
        return
    part = final + ".wf-part"
    with open(path, "rb") as source, open(part, "wb") as copy:
        shutil.copyfileobj(source, copy, _PIECE_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
    if sha256_file(part) != sha256_file(path):
        os.unlink(part)
        raise Broken("the copy at %s differs from what was copied" % final, "Check the disk.")
    _name_created(final)
    os.replace(part, final)


def _name_created(path: str) -> None:
    """Name a file that is created next, so that it is deleted with everything else of a flow."""
    listed = os.environ.get("WF_DATA_CREATED")
    if listed:
        with open(listed, "ab") as f:
            f.write(os.fsencode(os.path.abspath(path)) + b"\n")


def sha256_file(path: str) -> str:
    """Hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for piece in iter(lambda: f.read(_PIECE_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest()


def mount_of(path: str, table: str = "/proc/mounts") -> Mount:
    """The mount that `path`, or the nearest directory above it that exists, is on."""
    real = os.path.realpath(path)
    best = Mount("", "/", "")
    for mount in _mounts(table):
        inside = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        # of two on one point the later one hides the earlier
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best


def _mounts(table: str) -> Iterator[Mount]:
    with open(table, encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = [_unescaped(field) for field in line.split(" ")]
            if len(fields) >= 3:
                yield Mount(*fields[:3])


def _unescaped(field: str) -> str:
    """`field` with the octal escapes of the mount table resolved."""
    for char in (" ", "\t", "\n"):
        field = field.replace("\\%03o" % ord(char), char)
    return field.replace("\\134", "\\")


def _staging(need: int) -> str:
    """A place on a local disk with space for `need` bytes. Raises Broken."""
    tried = []
    private = "pytest-wf-%d" % os.getuid()
    places = [(os.path.abspath(".git"), "wf-data"), (tempfile.gettempdir(), private)]
    for above, name in places:
        path = os.path.join(above, name)
        if not os.path.isdir(above) or mount_of(above).is_remote:
            tried.append("%s is not on a local disk" % above)
        elif os.path.lexists(path) and not _is_mine(path):
            tried.append("%s belongs to another user" % path)
        elif _free(above) < need + _SPARE_BYTES:
            tried.append("%s has %d MiB free" % (above, _free(above) >> 20))
        else:
            return path
    raise Broken(
        "there is no local disk to stage %d MiB on: %s" % (need >> 20, "; ".join(tried)),
        "Make room on the pod's own disk.",
    )


def _is_mine(path: str) -> bool:
    info = os.lstat(path)
    return modes.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()


def _demand_room(where: str, need: int) -> None:
    free = _free(where)
    if free < need + _SPARE_BYTES:
        raise Broken(
            "%s has %d MiB free, and the shards take %d MiB" % (where, free >> 20, need >> 20),
            "Make room there, or point DATA_DIR elsewhere.",
        )


def _free(path: str) -> int:
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


if __name__ == "__main__":
    sys.exit(main())
