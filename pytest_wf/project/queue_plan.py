"""Lines of a plan for rows that run as jobs of a cluster."""

from __future__ import annotations

from collections import Counter

from pytest_wf.project.project import Project
from pytest_wf.wire.rows import Row


def queue_lines(project: Project) -> list[str]:
    """One line for each kind of job array that P60 submits; none if a pod runs the rows."""
    config = project.config
    if config.wf_engine != "slurm":
        return []
    arguments = " ".join(config.wf_slurm_args) or "the cluster's own partition"
    lines = [f"P60 Slurm: arrays of at most 1000 rows, or the cluster's limit; {arguments}"]
    if config.wf_slurm_array_limit:
        lines[0] += f"; at most {config.wf_slurm_array_limit} rows of an array at once"
    for shape, count in Counter(_shape(project, row) for row in project.rows).items():
        lines.append(f"P60 Slurm: {count} rows with {shape}")
    return lines


def _shape(project: Project, row: Row) -> str:
    config = project.config
    gpus = row.gpus or config.gpus_per_run or 0
    limit = config.run_timeout_secs if row.timeout_s is None else row.timeout_s
    time = f"{limit} s" if limit else config.wf_slurm_time or "the partition's time"
    return f"{row.nodes or 1} nodes, {gpus} GPUs a node, {time}"
