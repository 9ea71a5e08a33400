"""A repository of the shape that the workflow began with trains with the default layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.flow_project import Project
from tests.support.seed_repository import TRAIN_SHARD, seed_repository, write_shards

pytestmark = pytest.mark.slow

ENV = """\
OPS_DEFAULT_HOST=local
REPO_URL={repository}
CHECKOUT_BRANCH=main
CHECKOUT_INSTALL_CMD="pip install -e ."
OPS_REMOTE_REPO=${{WF_POD_ROOT}}/repo
OPS_REMOTE_OUTPUTS_DIR=${{WF_POD_ROOT}}/outputs
DATA_DIR={shards}
REQUIRE_GPU_TORCH=0
TRAIN_LAUNCHER=python
WF_FLOW_WAIT_INTERVAL_SECS=1
SWEEP_CSV=flows/sweep.csv
"""
CSV = """\
run_id,config,seed,overrides,notes
base-s1,config/train_fineweb10B.py,1,,
mhc-s1,config/train_fineweb10B_mhc.py,1,learning_rate=3e-4,
mhc-s2,config/train_fineweb10B_mhc.py,2,max_iters=3,
"""
ROWS = ("base-s1", "mhc-s1", "mhc-s2")


@pytest.fixture
def seed_project(tmp_path: Path, clean_environ: dict[str, str]) -> Project:
    """A project that trains such a repository, with its shards in DATA_DIR."""
    repository = seed_repository(tmp_path / "mhc")
    write_shards(tmp_path / "shards")
    root = tmp_path / "project"
    (root / "flows").mkdir(parents=True)
    project = Project(root, clean_environ)
    assert project.wf("init").returncode == 0
    env = ENV.format(repository=repository.path, shards=tmp_path / "shards")
    (root / "flows" / "workflow.env").write_text(env)
    (root / "flows" / "sweep.csv").write_text(CSV)
    return project


def test_the_whole_flow_trains_it(seed_project: Project, tmp_path: Path) -> None:
    (tmp_path / "shards" / "download.py").touch()

    flown = seed_project.flow("--wf-wait=true", "--wf-fetch=all")

    assert flown.code == 0, flown.output
    assert "P50 warning: git LFS keeps these elsewhere, and the pod has pointers" in flown.output
    assert "fineweb10B in the repository has files of these names, and not" in flown.output
    for run_id in ROWS:
        log = (seed_project.root / "reports" / "runs" / run_id / "stdout.log").read_text()
        assert f"data_dir {tmp_path}/shards streams" in log
        assert "tokens 600 400" in log
    facts = flown.record("phase.P50.evidence")["facts"]
    assert facts["data_links"] == {"linked": 2, "hidden": ["download.py"]}
    assert facts["dirty"] == []
    assert any(line.startswith("hyper-connections @ ") for line in packages(flown))
    tree = Path(flown.record("phase.P60.evidence")["facts"]["tree"])
    assert (tree / "examples/nanogpt/data/fineweb10B" / TRAIN_SHARD).is_symlink()
    assert (tree / "examples/nanogpt/data/fineweb10B/download.py").is_file()


def packages(flown: Any) -> list[str]:
    kept = {Path(a["path"]).name: a for a in flown.record("phase.P50.evidence")["artifacts"]}
    listed = flown.folder / kept["pip-freeze.txt"]["path"]
    return list(listed.read_text().splitlines())


@pytest.mark.long
def test_step_by_step_with_commands(seed_project: Project) -> None:
    def wf(*words: str, code: int = 0) -> str:
        done = seed_project.wf(*words)
        assert done.returncode == code, f"wf {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    wf("config-sync")
    wf("pod-wait")
    wf("pod-status")
    wf("bootstrap")
    wf("checkout")
    wf("sweep-start")
    wf("sweep-watch")
    assert "total=3 ok=3 failed=0" in wf("sweep-status")
    wf("fetch-run", "mhc-s1")
    here = seed_project.root / "reports" / "runs"
    assert json.loads((here / "mhc-s1" / "summary.json").read_text())["ok"] is True
    wf("fetch-all")
    assert {path.name for path in here.iterdir() if not path.name.startswith(".")} == set(ROWS)
    assert "ARTIFACTS_SYNCED" in wf("fsm-status")
    wf("checkout")  # again, with everything in its place
