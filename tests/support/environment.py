"""The environment of commands that tests run as a user would."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_KEPT = ("LANG", "LC_ALL", "USER", "LOGNAME", "TMPDIR", "PIP_CERT", "SSL_CERT_FILE")

#: Leaves out the pytest plugins that only our own tests need: they cost each start half a second.
WITHOUT_TEST_PLUGINS = "-p no:hypothesispytest -p no:pytest_cov -p no:anyio"

#: Finds the real `python3` first: a shim such as pyenv's starts a dozen shells for each call.
PATH = os.pathsep.join([str(Path(sys.base_prefix, "bin")), os.environ["PATH"]])


def clean_environ(home: Path) -> dict[str, str]:
    """A user's environment with an empty `home`, which is made here, and nothing of this run's."""
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    ours = {"HOME": str(home), "PATH": PATH, "PYTEST_ADDOPTS": WITHOUT_TEST_PLUGINS}
    return {**kept, **ours, "PYTHONDONTWRITEBYTECODE": "1"}
