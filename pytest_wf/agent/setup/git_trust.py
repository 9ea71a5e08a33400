"""Trust in repositories of other users, which are common on volumes and which git refuses.

`-c safe.directory=…` is ignored by git before 2.37, such as Debian 11's, and a variable that names
a configuration file by git before 2.32. All versions read the user's file below XDG_CONFIG_HOME. So
that variable names a folder of ours, whose file includes the one that it replaces.
"""

import atexit
import functools
import os
import shutil
from typing import Dict, List


def of_others(*paths: str) -> Dict[str, str]:
    """The variables that make git trust `paths`; none if all of them are this user's.

    A path may be a URL, which is never another user's.
    """
    foreign = tuple(path for path in paths if any(map(_is_foreign, (path, path + "/.git"))))
    if not foreign:
        return {}
    try:
        return {"XDG_CONFIG_HOME": _config_home(foreign)}
    except OSError:
        return {}  # git then reports what it does not trust


def _is_foreign(path: str) -> bool:
    try:
        return os.stat(path).st_uid != os.geteuid()
    except (OSError, ValueError):
        return False


@functools.lru_cache(maxsize=None)
def _config_home(paths: "tuple[str, ...]") -> str:
    """A folder with git's configuration, removed when this process ends."""
    import tempfile  # slow to import

    home = tempfile.mkdtemp(prefix="wf-git-")
    atexit.register(shutil.rmtree, home, True)
    theirs = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    lines: List[str] = ["[include]", "path = " + _quoted(theirs + "/git/config"), "[safe]"]
    # a clone of a local repository reads its .git too; by which name depends on the version
    trusted = [name for path in paths for name in (path, os.path.realpath(path))]
    lines += ["directory = " + _quoted(path) for path in (*trusted, "*")]
    os.mkdir(os.path.join(home, "git"))
    with open(os.path.join(home, "git", "config"), "wb") as f:
        f.write("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
    return home


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"%s"' % escaped
