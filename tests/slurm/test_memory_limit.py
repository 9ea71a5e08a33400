"""A row that takes more memory than its job may, where Slurm limits that by cgroups."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support import slurm
from tests.support.flow_project import Project
from tests.support.slurm import Slurm
from tests.support.sweep_pod import SweepPod, make_row

TRAINER = """\
import os, sys, time
print("loss 0.5 step 1", flush=True)
run_id = os.environ["RUN_ID"]
if run_id == "fails":
    sys.exit("ValueError: no such layer")
if run_id == "late":
    time.sleep(600)
taken = []
while run_id == "large":
    taken.append(b"x" * (16 << 20))
open(os.path.join(os.environ["TRAIN_OUT_DIR"], "node"), "w").close()
"""

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    """A cluster that limits the memory of jobs, in place of the common one."""
    why = slurm.why_not() or slurm.why_no_memory_limit()
    if why:
        pytest.skip(why)
    made = Slurm(limits_memory=True)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_row_that_takes_more_memory_than_its_job_may_is_oom(
    login: Callable[..., SweepPod],
) -> None:
    pod = login(WF_SLURM_ARGS="mem=200")
    pod.trainer(
        "taken = []\nwhile os.environ['RUN_ID'] == 'large': taken.append(b'x' * (16 << 20))\n"
    )
    rows = pod.run_to_end(make_row("large"), make_row("small"))
    assert (rows["large"]["state"], rows["large"]["failure_class"]) == ("failed", "oom")
    assert rows["small"]["state"] == "success"


def test_a_flow_over_ssh_tells_apart_a_failure_a_time_limit_and_a_memory_limit(
    cluster_project: Callable[..., Project],
) -> None:
    good = ["a", "b", "c", "d", "e"]
    rows = [f"{i},default.py,1,," for i in [*good, "fails", "late", "large"]]
    project = cluster_project(rows=rows, trainer=TRAINER)
    project.configure(WF_SLURM_ARGS="mem=200", WF_SLURM_TIME="1")
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1, flown.output
    ended = {row["run_id"]: row for row in flown.record("flow.summary")["rows"]}
    assert [i for i in ended if ended[i]["state"] == "success"] == good
    why = {i: ended[i]["failure_class"] for i in ("fails", "late", "large")}
    assert why == {"fails": "user", "late": "timeout", "large": "oom"}
    runs = project.root / "reports" / "runs"
    assert all((runs / i / "out" / "node").exists() for i in good)
    assert all((runs / i / "summary.json").exists() for i in why)
    page = (project.root / "reports" / "report.html").read_text()
    assert all(i in page for i in ended)
    verified = project.wf("verify", str(flown.folder))
    assert verified.returncode == 0, verified.stdout
