"""Whether two commits train the same: they differ only in files that the controller alone reads.

If a project is in the training repository itself, each edit of its config or CSV makes a new commit
that trains nothing else. Both sides run git with the same arguments and judge its output by the
same rule.
"""

import re
from typing import Any, List, NamedTuple, Tuple

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: A change as git lists it. Two regular files that differ must have the same mode.
_CHANGE = re.compile(r":(\d{6}) (\d{6}) [0-9a-f]+\.* [0-9a-f]+\.* [ADM]")
_NO_FILE, _REGULAR = "000000", ("100644", "100755")


class ReadHere(NamedTuple):
    """Paths in the training repository that no row reads: config, CSV, and folders of phases.

    A folder ends with '/'.
    """

    paths: Tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> "ReadHere":
        """The paths in a JSON list; none if it is not a list of strings."""
        is_list = isinstance(value, list) and all(isinstance(path, str) for path in value)
        return cls(tuple(path for path in value if path.strip("/")) if is_list else ())

    def has(self, path: str) -> bool:
        """Whether `path` is one of them, or in one of the folders."""
        return any(path.startswith(one) if one.endswith("/") else path == one for one in self.paths)


def is_commit(text: str) -> bool:
    """Whether `text` is the full id of a commit, so that git takes it for nothing else."""
    return _COMMIT.fullmatch(text) is not None


def words(before: str, now: str) -> List[str]:
    """The arguments for git in the repository; `differences_are_in` reads its output."""
    options = ["-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none"]
    return ["--no-replace-objects", "diff-tree", *options, before, now, "--"]


def differences_are_in(read_here: ReadHere, answer: str) -> bool:
    """Whether everything in git's `answer` is a regular file of `read_here`.

    A link, a submodule or another mode counts as a change in any file, as does an unreadable line.
    """
    fields = answer.split("\0")
    if fields.pop() or len(fields) % 2:
        return False
    return all(
        _is_plain(change) and read_here.has(path) for change, path in zip(fields[::2], fields[1::2])
    )


def _is_plain(change: str) -> bool:
    found = _CHANGE.fullmatch(change)
    if found is None:
        return False
    modes = {mode for mode in found.groups() if mode != _NO_FILE}
    return len(modes) == 1 and modes <= set(_REGULAR)
