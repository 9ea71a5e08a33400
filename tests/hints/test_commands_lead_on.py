"""Each refusal of a `wf` command: the command that its remedy names works, and leads on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hints import Hint, refused


@pytest.fixture
def ready(project: Any) -> Any:
    """A project whose pod takes tasks."""
    assert project.wf("pod-status").returncode == 0
    return project


@pytest.mark.failure("no-such-task")
@pytest.mark.long
def test_a_task_that_is_not_there(ready: Any) -> None:
    refused(ready, "no-such-task", "task-status", "--id", "none").leads_on()


@pytest.mark.failure("task-exists")
@pytest.mark.long
def test_a_task_whose_id_is_in_use(ready: Any) -> None:
    assert ready.wf("task-run", "--id", "mine", "--cmd", "true").returncode == 0
    assert ready.wf("task-wait", "--id", "mine").returncode == 0
    refused(ready, "task-exists", "task-run", "--id", "mine", "--cmd", "true")
    again = ready.wf("task-run", "--id", "mine", "--force", "--cmd", "true")
    assert again.returncode == 0, again.stderr


@pytest.mark.failure("task-running")
@pytest.mark.long
def test_a_task_that_is_running(ready: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.1; done"
    assert ready.wf("task-run", "--id", "mine", "--cmd", wait).returncode == 0
    hint = refused(ready, "task-running", "task-run", "--id", "mine", "--force", "--cmd", "true")
    gate.touch()
    hint.leads_on()


@pytest.mark.failure("illegal-state")
@pytest.mark.parametrize("command", ["bootstrap", "checkout", "sweep-start"])
@pytest.mark.long
def test_a_command_that_comes_too_early(project: Any, command: str) -> None:
    """Following the remedies, and those of what they name, ends in the command's success."""
    assert _follow(project, command.split()) > 1
    project.wf("sweep-watch")


def _follow(project: Any, words: list[str], depth: int = 0) -> int:
    """Run a command, after what its refusals name; how many were run."""
    assert depth < 8, words
    count = 1
    while project.wf(*words).returncode != 0:
        assert count < 8, words
        count += _follow(project, refused(project, "", *words).command.split()[1:], depth + 1)
    return count


@pytest.mark.failure("config-not-synced")
def test_a_config_that_the_pod_does_not_have(project: Any) -> None:
    refused(project, "config-not-synced", "bootstrap").leads_on()


@pytest.mark.long
@pytest.mark.failure("no-such-run", "incomplete")
def test_a_run_that_is_not_there_or_not_done(
    new_project: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    project = new_project(rows=("done,default.py,1,,", f"late,default.py,2,wait_for={gate},"))
    assert project.flow().code == 0
    refused(project, "no-such-run", "fetch-run", "none").leads_on()
    hint = refused(project, "incomplete", "fetch-run", "late")
    gate.touch()
    hint.leads_on()
    assert project.wf("fetch-run", "late").returncode == 0


@pytest.mark.long
@pytest.mark.failure("sweep-stopped")
def test_a_log_of_a_sweep_that_its_user_stopped(
    new_project: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    project = new_project(rows=(f"one,default.py,1,wait_for={gate},", "two,default.py,2,,"))
    assert project.flow().code == 0
    assert project.wf("sweep-stop").returncode == 0
    said = project.wf("logs", "two", "-f").stderr
    assert "the user has stopped campaign" in said
    command = "pytest flows/ --wf-flow --wf-sweep=resume"
    assert f"Continue it with `{command}`" in said
    gate.touch()
    Hint(project, "sweep-stopped", said, command).leads_on()
