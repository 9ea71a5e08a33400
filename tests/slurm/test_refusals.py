"""What is not possible with jobs is refused before anything is asked of the cluster."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.flow_project import Project


def test_secrets_and_results_that_jobs_cannot_have_are_refused_at_once(
    new_project: Callable[..., Project],
) -> None:
    project = new_project()
    project.configure(WF_ENGINE="slurm", WF_SECRET_ENV="HF_TOKEN", RUN_OUT_MODE="local_sync")
    flown = project.flow()
    assert flown.code == 4, flown.output
    assert "Slurm keeps the environment of a job on a disk." in flown.output
    assert "WF_SLURM_SECRET_FILE" in flown.output
    assert "Set RUN_OUT_MODE=durable." in flown.output
    assert "Traceback" not in flown.output
