"""A run with a log of two gigabytes: `wf logs` and a flow's monitoring stay small."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOG_BYTES = 2 << 30
MEMORY_BYTES = 200 << 20

#: Runs a command and says how long it took, and the most memory of any process of it.
MEASURED = """\
import json, resource, subprocess, sys, time
began = time.monotonic()
rc = subprocess.call(sys.argv[1:])
memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"seconds": time.monotonic() - began, "bytes": memory}), file=sys.stderr)
sys.exit(rc)
"""


def measured(project: Any, *argv: str) -> tuple[str, dict[str, float]]:
    """What a command of the project prints, and what it took."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, *argv],
        cwd=project.root,
        env=project.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


@pytest.mark.fault("P17")
@pytest.mark.long
def test_the_end_of_two_gigabytes_is_shown_in_little_memory(
    new_project: Callable[..., Any],
) -> None:
    project = new_project(rows=["short,default.py,1,,", "long,default.py,1,,"])
    run = project.flow("--wf-wait=true")
    assert run.code == 0, run.output
    with (project.outputs / "long/attempts/1/stdout.log").open("r+b") as log:
        log.truncate(LOG_BYTES)
        log.seek(0, 2)
        log.write(b"\none before\nthe last line\n")
    wf = ["-c", "from pytest_wf.cli.main import main; main()"]
    shown, spent = measured(project, *wf, "logs", "long", "--tail", "2")
    assert shown == "one before\nthe last line\n"
    print(f"the end of a log of 2 GiB was shown after {spent['seconds']:.2f} s")
    assert spent["bytes"] < MEMORY_BYTES
    flow = ["-m", "pytest", "flows/", "--wf-flow", "--wf-sweep=resume", "--wf-wait=true"]
    _, spent = measured(project, *flow)
    assert spent["bytes"] < MEMORY_BYTES
