"""Tests on every Python that is supported and installed: `nox`, or `nox -s tests-3.13`.

Paths behind `--` are run in place of all tests. An interpreter that is not on this machine is
skipped and named; `uv python install 3.13` gets one.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["tests"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """What depends on the Python: everything but tests that take torch, a browser or minutes."""
    session.install("-e", ".[test]")
    session.run(
        *("python", "-m", "pytest", "-c", "tests/pytest.toml", "--rootdir=."),
        *(session.posargs or ["tests"]),
        *("--ignore=tests/bench", "-m", "not (torch or trainers or browser or slow or long)"),
        *("-n", "2", "--dist", "worksteal"),
    )
