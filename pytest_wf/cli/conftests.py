"""Providers and contracts of a project's ``conftest.py``, for `wf` commands as for its flows.

pytest itself finds and imports the files, with the options and paths of its ini file. So
a command and the flow use the same providers and data contracts.
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from pytest_wf.errors import InputError, Problem
from pytest_wf.flow.extensions import Extensions, installed, register
from pytest_wf.pods.rpc.channel import clean
from pytest_wf.project.project import CONFIG


def extensions_of(root: Path) -> Extensions:
    """Providers and contracts of the project in `root`, and of installed packages.

    Raises InputError if a ``conftest.py`` cannot be loaded: without its provider the same
    config may name another machine.
    """
    flows = root / CONFIG.parent
    if not any((folder / "conftest.py").is_file() for folder in (flows, root, *root.parents)):
        return installed()  # the usual case; pytest need not be started
    import pytest

    class Asked:
        """Takes part in pytest's start, until it would begin to collect."""

        extensions: Extensions | None = None

        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(self, config: pytest.Config) -> int:
            register(config.pluginmanager)
            self.extensions = Extensions(config.hook)
            return 0

    asked, said = Asked(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            # output captured by file descriptor would reach the real stdout in the end
            pytest.main([str(flows), "--capture=no"], plugins=[asked])
        except Exception as e:  # noqa: BLE001 - whatever a project's file raises is its mistake
            said.write(f"{type(e).__name__}: {e}\n")
    if asked.extensions is None:
        raise InputError([_unloadable(root, said.getvalue())])
    return asked.extensions


def _unloadable(root: Path, said: str) -> Problem:
    lines = [str(clean(line)).rstrip() for line in said.splitlines() if line.strip()]
    reasons = [line[2:].strip() for line in lines if line.startswith("E ")] or lines
    places = [found for line in lines if (found := re.match(r"(.+?):(\d+): in ", line))]
    where, line = (places[-1][1], int(places[-1][2])) if places else (str(root), None)
    return Problem(
        where,
        line,
        "",
        None,
        f"pytest cannot be started in {root}: {' / '.join(reasons[:5]) or 'it does not say why'}.",
        "Correct it: without its conftest.py a command may reach another pod than the flow does.",
    )
