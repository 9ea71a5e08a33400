"""Stands for a pip of the checkout's environment, where installing a real one takes seconds."""

from __future__ import annotations

from pathlib import Path

from pytest_wf.agent.control.settings import Settings

_PIP = """\
#!{python}
import sys, sysconfig, urllib.parse, zipfile

if "install" in sys.argv:
    url = sys.argv[-1].partition(" @ ")[2]
    wheel = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    zipfile.ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
"""


def put_pip(settings: Settings, python: str = "") -> None:
    """Give the environment a pip that `python` runs, by default the environment's own.

    It installs wheels that it is given, and nothing else.
    """
    for name in ("pip", "pip3"):
        script = Path(settings.repo, ".venv", "bin", name)
        script.write_text(_PIP.format(python=python or settings.venv_python))
        script.chmod(0o755)
