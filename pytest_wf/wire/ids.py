"""Identifiers of runs, tasks, campaigns and flows, and names derived from them."""

import hashlib
import re

#: Grammar of run and task ids. Used with `fullmatch`: with ``$`` a trailing newline passes.
ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

#: Names that a run must not have, as files of a run have them.
RESERVED = frozenset({"status", "summary"})
#: Devices of Windows: no file can have such a name there, whatever its extension.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")

#: The folder, below the outputs directory, of runs that later campaigns replaced.
ARCHIVE = "_archive"


def is_id(text: str) -> bool:
    """Whether `text` as a whole is a legal run or task id."""
    name = text.lower()
    return (
        ID_PATTERN.fullmatch(text) is not None
        and name not in RESERVED
        and _DEVICE.fullmatch(name) is None
    )


def is_run_path(text: str) -> bool:
    """Whether `text` names a run directory below the outputs directory.

    It is a run id, or ``_archive/<campaign_id>/<name>`` for a run that a later campaign moved to
    the archive.
    """
    first, *rest = text.split("/")
    if rest:
        return first == ARCHIVE and len(rest) == 2 and all(map(is_id, rest))
    return is_id(first)


def flow_id(stamp: str, entropy: str) -> str:
    """A flow's id from a UTC stamp ``YYYYmmddTHHMMSSZ`` and six hex digits."""
    return "f-%s-%s" % (stamp, entropy)


def campaign_id(stamp: str, entropy: str) -> str:
    """A campaign's id, immutable once a sweep has been started under it."""
    return "c-%s-%s" % (stamp, entropy)


def short_hash(text: str, digits: int = 12) -> str:
    """The first hex digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:digits]


def tmux_socket(outputs_dir: str) -> str:
    """Name of the tmux server (``tmux -L``) that belongs to one outputs directory.

    A server of our own: a new session takes the environment of a running server, and
    ``has-session -t run1`` is true when only ``run10`` exists.
    """
    return "wf-" + short_hash(outputs_dir)


def tmux_window(task_id: str) -> str:
    """A window name for a task: tmux rewrites dots and colons, so ids are hashed."""
    return "t-" + short_hash(task_id)
