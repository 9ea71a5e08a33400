"""Controllers other than Linux: no call that macOS lacks, as far as that can be seen here."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "pytest_wf"
#: What runs on pods, which are Linux, or on a machine that plays one.
ON_PODS = ("agent", "loopback", "contrib")
#: Functions and constants of the standard library that macOS does not have.
LINUX_ONLY = {
    "os": {"pidfd_open", "sched_getaffinity", "memfd_create", "sendfile", "splice", "eventfd"}
    | {"posix_fadvise", "getxattr", "setxattr", "O_TMPFILE", "O_PATH", "copy_file_range"},
    "select": {"epoll"},
    "signal": {"pidfd_send_signal", "sigtimedwait", "sigwaitinfo"},
    "socket": {"SO_PEERCRED", "AF_NETLINK", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "SO_MARK"},
    "resource": {"prlimit"},
    "fcntl": {"F_OFD_SETLK", "F_SETPIPE_SZ"},
}
#: Modules that read /proc, and answer "not known", ask `ps` or do without where there is none.
WITHOUT_PROC = {"flow/session.py", "wire/process.py"}


def _uses(path: Path) -> Iterator[str]:
    """Uses of Linux-only names in a module, `file:line name`; guarded ones are left out."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in LINUX_ONLY.get(node.value.id, ())
            and f'hasattr({node.value.id}, "{node.attr}")' not in text
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.value.id}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in LINUX_ONLY:
            for alias in node.names:
                if alias.name in LINUX_ONLY[node.module]:
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {alias.name}"


def _controller_modules() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ON_PODS
    ]


def test_a_controller_calls_nothing_that_linux_alone_has() -> None:
    assert [use for path in _controller_modules() for use in _uses(path)] == []


def test_a_controller_reads_proc_only_where_it_can_do_without() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in _controller_modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("/proc/")
    }
    assert readers == WITHOUT_PROC


@pytest.mark.parametrize("command", [("keys",), ("docs",), ("explain", "315"), ("init", "new")])
def test_commands_work_where_python_says_that_it_is_macos(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    program = (
        # what the standard library itself asks of its own build comes first
        "import sys, os, zoneinfo, pytest_wf.cli.main\n"
        "sys.platform = 'darwin'\n"
        "for name in ('pidfd_open', 'sched_getaffinity', 'memfd_create', 'sendfile'):\n"
        "    os.__dict__.pop(name, None)\n"
        "from pytest_wf.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plan_is_made_where_python_says_that_it_is_macos(
    pytester: pytest.Pytester,
) -> None:
    from pytest_wf.testing import write_project

    write_project(pytester.path, config={"OPS_DEFAULT_HOST": "me@pod.invalid"})
    (pytester.path / "conftest.py").write_text(
        "import sys\nimport zoneinfo\nsys.platform = 'darwin'\n"
    )
    plan = pytester.runpytest_subprocess("flows/", "--wf-flow", "--collect-only", "-q")
    assert plan.ret == 0
    plan.stdout.fnmatch_lines(["plan: 11 phases, 2 sweep rows"])
