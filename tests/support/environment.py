"""The environment of commands that tests run as a user would."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_KEPT = ("LANG", "LC_ALL", "USER", "LOGNAME", "TMPDIR", "PIP_CERT", "SSL_CERT_FILE")

#: Leaves out the pytest plugins that only our own tests need: they cost each start half a second.
WITHOUT_TEST_PLUGINS = "-p no:hypothesispytest -p no:pytest_cov -p no:anyio"

#: Where Python keeps its bytecode: the trees of tests stay clean, and no start compiles again
#: what another has. Nobody's wish to write none of it counts: it costs each flow a second.
BYTECODE = {"PYTHONPYCACHEPREFIX": str(Path(sys.prefix, ".bytecode"))}

#: Finds the real `python3` first: a shim such as pyenv's starts a dozen shells for each call.
PATH = os.pathsep.join([str(Path(sys.base_prefix, "bin")), os.environ["PATH"]])


def clean_environ(home: Path) -> dict[str, str]:
    """A user's environment with an empty `home`, which is made here, and nothing of this run's."""
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    ours = {"HOME": str(home), "PATH": PATH, "PYTEST_ADDOPTS": WITHOUT_TEST_PLUGINS}
    return {**kept, **ours, **BYTECODE}


def is_worked_on(*folders: Path) -> bool:
    """Whether a process other than this one names one of `folders`, as an argument or elsewhere."""
    names = [os.fsencode(folder) for folder in folders]
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):  # it has ended, or is another user's
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if any(name in told for name in names):
                return True
    return False
