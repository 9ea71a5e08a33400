"""The overhead of a row as a job: an array of 200 beside plain `sbatch --array` and submitit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import slurm
from tests.support.login_node import login_node
from tests.support.slurm import Slurm
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

ROWS = 200
TRAINER = "import time; time.sleep(0.05)\n"
SUBMITIT = """\
import subprocess, sys, submitit
executor = submitit.AutoExecutor(folder=sys.argv[1], cluster="slurm")
executor.update_parameters(timeout_min=10, slurm_array_parallelism=1000)
run = lambda _: subprocess.check_call([sys.executable, sys.argv[2]])
for job in executor.map_array(run, range(int(sys.argv[3]))):
    job.result()
"""


@pytest.fixture
def cluster() -> Iterator[Slurm]:
    """A cluster of its own."""
    why = slurm.why_not()
    if why:
        pytest.skip(why)
    made = Slurm()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_overhead_of_a_row(cluster: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    script = tmp_path / "train.py"
    script.write_text(TRAINER)
    spent = {
        "sbatch --array": _timed(lambda: _plain(cluster, script, tmp_path)),
        "pytest-wf": _timed(lambda: _ours(tmp_path)),
        "submitit": _timed(lambda: _submitit(cluster, script, tmp_path)),
    }
    for name, seconds in spent.items():
        print(f"{name}: {seconds:.1f} s for {ROWS} rows, {1000 * seconds / ROWS:.0f} ms a row")


def _timed(run: Any) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _plain(cluster: Slurm, script: Path, folder: Path) -> None:
    asked = [f"--array=0-{ROWS - 1}", "--output=/dev/null", f"--chdir={folder}"]
    command = f"--wrap={sys.executable} {script}"
    number = cluster.client("sbatch", "--parsable", *asked, command).strip()
    done = "COMPLETED"
    listing = ("squeue", "-h", "-r", "-t", "all", "-j", number, "-o", "%T")
    until(lambda: set(cluster.client(*listing).split()) == {done}, "all ended", 600)


def _submitit(cluster: Slurm, script: Path, folder: Path) -> None:
    words = [sys.executable, "-c", SUBMITIT, str(folder / "submitit"), str(script), str(ROWS)]
    done = subprocess.run(words, env=cluster.environ, cwd=folder, check=False, timeout=600)
    assert done.returncode == 0


def _ours(folder: Path) -> None:
    pod = login_node(folder / "pod")
    pod.trainer(TRAINER)
    pod.start(*[make_row(f"r{number}") for number in range(ROWS)])
    ended = until(lambda: pod.status()["supervisor"] != "alive", "all have ended", 600)
    assert ended
    assert {row["state"] for row in pod.rows().values()} == {"success"}
