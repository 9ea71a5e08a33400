"""The user of this process: its name and home, even if the system knows neither.

A container may run under a user id without an entry in the list of users, and without HOME.
"""

import getpass
import os


def name() -> str:
    """The user's name; the user id if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def home() -> str:
    """The home directory, as an absolute path; '/' if there is none."""
    found = os.path.expanduser("~")
    return found if os.path.isabs(found) else "/"


def expanded(path: str) -> str:
    """`path` with `~` and `~user` replaced by homes; `~user` of an unknown user stays as it is."""
    if path == "~" or path.startswith("~/"):
        return home().rstrip("/") + path[1:] or "/"
    return os.path.expanduser(path)
