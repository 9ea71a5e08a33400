"""Canonical JSON, strict reading of it, atomic writing, digests."""

import json
import os
import re
from typing import Any, Callable, Dict, List, Optional, Tuple

#: The largest JSON document that is read; the size is checked before it is parsed.
MAX_JSON_BYTES = 16 * 1024 * 1024
#: The key of the digest in a file that holds the digest of its content.
SEAL = "sha256"
#: The suffix of the copy of a control file.
COPY = ".copy"
_SMALL_BYTES = 32 * 1024
#: `safe_text.CONTROLS` without characters that JSON escapes anyway or that are not text.
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class BadJson(ValueError):
    """A document that is not strict JSON: truncated, duplicate keys, NaN, too large, too deep."""


def canonical_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON with sorted keys and no spaces, the form that digests cover.

    A lone surrogate, which names of files may have, is written as JSON's own escape.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return _without_controls(text).encode("utf-8", "backslashreplace")


def pretty_json(value: Any) -> bytes:
    """`value` as JSON for people: sorted, indented, one newline at the end."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return _without_controls(text).encode("utf-8", "replace") + b"\n"


def parse_json(raw: bytes, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Parse `raw` strictly.

    The standard parser accepts duplicate keys, NaN and infinities, and raises RecursionError for
    deep nesting and a plain ValueError for long integers; here all of them are `BadJson`.
    """
    if len(raw) > max_bytes:
        raise BadJson("%d bytes of JSON; at most %d are read" % (len(raw), max_bytes))
    try:
        return _STRICT.decode(raw.decode("utf-8"))
    except BadJson:
        raise
    except (ValueError, RecursionError) as e:
        raise BadJson("not JSON: %s" % (str(e) or type(e).__name__)) from None


def sealed(value: Dict[str, Any]) -> Dict[str, Any]:
    """`value` with the digest of its content, by which `is_sealed` knows that nothing changed."""
    return dict(value, **{SEAL: sha256_bytes(canonical_json(value))})


def is_sealed(found: Dict[str, Any]) -> bool:
    """Whether the content matches its digest; True without one, as older versions wrote none."""
    if SEAL not in found:
        return True
    body = {key: value for key, value in found.items() if key != SEAL}
    return bool(found[SEAL] == sha256_bytes(canonical_json(body)))


def read_json(path: str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read and strictly parse the file at `path`.

    Raises OSError if it cannot be read and `BadJson` if it is not strict JSON.
    """
    return parse_json(read_bytes(path, max_bytes + 1), max_bytes)


def read_bytes(path: str, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """The first `max_bytes` of a file; nothing of a named pipe, which may have no end."""
    with open(path, "rb", opener=_without_waiting) as f:
        # in two pieces: a buffer for the most that is read costs more than a small file
        raw = f.read(_SMALL_BYTES)
        if len(raw) == _SMALL_BYTES:
            raw += f.read(max(0, max_bytes - len(raw)))
    return raw


def write_atomic(
    path: str,
    content: bytes,
    mode: int = 0o644,
    flush: Optional[Callable[[int], None]] = os.fsync,
    flush_folder: bool = True,
) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, whole.

    Temporary file in the same directory, write, fsync, rename, fsync of the directory;
    a full disk raises OSError, which names `path`, and leaves the old file untouched.

    `flush` is called with the file before it has its name. With None neither the file nor the
    directory is flushed; without `flush_folder` the directory is not. Then a killed process loses
    nothing, but a power loss may lose the file, or bring the one before it back. A table in
    docs/explanation/architecture.md lists the consequences.
    """
    folder = os.path.dirname(os.path.abspath(path))
    # by hand: importing tempfile takes half of the start time of an agent or an auditor
    temporary = "%s/.%s.%s" % (folder, os.path.basename(path), os.urandom(6).hex())
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(content)
            f.flush()
            os.fchmod(f.fileno(), mode)
            if flush is not None:
                flush(f.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        if isinstance(e, OSError):
            raise OSError(e.errno, e.strerror, path) from e
        raise
    if flush is not None and flush_folder:
        sync_dir(folder)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def write_json(
    path: str,
    value: Any,
    mode: int = 0o644,
    flush: Optional[Callable[[int], None]] = os.fsync,
) -> None:
    """`write_atomic` of `pretty_json`."""
    write_atomic(path, pretty_json(value), mode, flush)


def remove_file(path: str) -> None:
    """Remove a file, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def move_into(folder: str, path: str) -> str:
    """Move `path` into `folder`, with a number if its name is used there; where it is now."""
    place = named = os.path.join(folder, os.path.basename(path))
    count = 1
    while os.path.lexists(place):
        count += 1
        place = "%s.%d" % (named, count)
    os.rename(path, place)
    return place


def sync_dir(folder: str) -> None:
    """fsync a directory, so that a rename in it survives a power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network file systems refuse to sync a directory
    finally:
        os.close(fd)


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of `content`."""
    import hashlib  # an auditor, started once per phase, reads JSON and digests nothing

    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str) -> str:
    """Hex SHA-256 of the file at `path`, read in pieces."""
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for piece in iter(lambda: f.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _without_controls(text: str) -> str:
    """JSON with escapes for characters that control a terminal, or change the order of text."""
    return _CONTROLS.sub(lambda found: "\\u%04x" % ord(found.group()), text)


def _unique_keys(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise BadJson("key %r appears twice" % next(k for k in keys if keys.count(k) > 1))
    return result


def _no_constant(name: str) -> Any:
    raise BadJson("%s is not JSON" % name)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BadJson("%s is out of range" % text)
    return value


# shared: making one for each file would take a tenth of the time of reading it
_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite
)
