"""The cluster of the tests leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import slurm
from tests.support.slurm_guardian import members
from tests.support.waiting import until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ABANDONED = """\
import time
from tests.support.slurm import Slurm
made = Slurm()
made.start()
made.client("sbatch", "--output=/dev/null", "--wrap=env -i sleep 600")
while made.client("squeue", "-h", "-o", "%T").split() != ["RUNNING"]: time.sleep(0.05)
print(made.conf, flush=True)
time.sleep(600)
"""


def test_a_cluster_ends_with_the_process_that_started_it() -> None:
    why = slurm.why_not()
    if why:
        pytest.skip(why)
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", ABANDONED]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        conf = Path(owner.stdout.readline().strip())
        assert len(members(conf)) >= 5
        owner.terminate()
    until(lambda: not members(conf) and not conf.parent.exists(), "nothing is left")
