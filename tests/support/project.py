"""A project's config and CSV on the local pod, without a repository."""

from __future__ import annotations

from pathlib import Path

ENV = """\
REPO_URL=.
OPS_DEFAULT_HOST=local
OPS_REMOTE_REPO=${WF_POD_ROOT}/repo
OPS_REMOTE_OUTPUTS_DIR=${WF_POD_ROOT}/outputs
SWEEP_CSV=flows/sweep.csv
"""


def write_flows(root: Path, csv: str, env: str = ENV) -> Path:
    """Write flows/workflow.env and flows/sweep.csv below `root`, and give `root` back."""
    (root / "flows").mkdir()
    (root / "flows" / "workflow.env").write_text(env)
    (root / "flows" / "sweep.csv").write_text(csv)
    return root
