"""Whatever control file of the pod is damaged with its copy, each `wf` command answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import damage

pytestmark = [pytest.mark.slow, pytest.mark.fault("S4")]

DECIDING = ("campaign.json", "latest.json", "lease.json", "made.json", "workflow_state.json")
#: They need nothing of what is damaged.
ALWAYS = ("task-list", "fetch-run one --from-directory")
OTHERS = ("sweep-status", "logs one", "fsm-status", "fetch-all", "prune --dry-run")


@pytest.fixture(scope="module")
def pod(new_wf: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Damages a control file of a pod whose sweep has ended; ``(wf, harm)``."""
    wf = new_wf(rows=("one,default.py,1,,",))
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-watch")
    outputs = Path(wf.root, ".wf/pod/outputs")
    backup = tmp_path_factory.mktemp("backup") / "outputs"
    shutil.copytree(outputs, backup, symlinks=True)

    def harm(name: str, kind: str) -> Path:
        shutil.rmtree(outputs)
        shutil.copytree(backup, outputs, symlinks=True)
        path = next((outputs / "_control").rglob(name))
        for one in (path, path.with_name(f"{name}.copy")):
            damage.KINDS[kind](one)
        return path

    return wf, harm


@pytest.mark.parametrize(
    "kind",
    [
        "truncate",
        *(pytest.param(k, marks=pytest.mark.long) for k in ("nul", "directory", "dangling")),
    ],
)
@pytest.mark.parametrize("name", DECIDING)
def test_every_command_works_or_names_the_file_and_a_way_on(pod: Any, name: str, kind: str) -> None:
    wf, harm = pod
    path = harm(name, kind)
    for command in ALWAYS:
        assert wf(*command.split()).code == 0, command
    told = wf("doctor")
    assert told.code == (1 if name == "workflow_state.json" else 0)
    assert told.code == 0 or f"{path} on the pod cannot be read" in told.out
    for command in OTHERS:
        told = wf(*command.split())
        if told.code == 0:
            continue
        (problem,) = told.problems
        assert str(path) in problem, (command, problem)
        assert "`" in problem.rpartition(str(path))[2], (command, problem)
