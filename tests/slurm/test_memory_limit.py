"""A row that takes more memory than its job may, where Slurm limits that by cgroups."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support import slurm
from tests.support.slurm import Slurm
from tests.support.sweep_pod import SweepPod, make_row

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
