"""A volume that is an object store: refused for control files before anything is kept there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import s3


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a bucket, mounted by s3fs."""
    with s3.bucket(tmp_path) as folder:
        yield folder


@pytest.mark.fault("D4")
@pytest.mark.slow
@pytest.mark.skipif(bool(s3.why_not()), reason=f"not shown here, a real s3fs: {s3.why_not()}")
@pytest.mark.long
def test_outputs_on_s3fs_stop_the_flow_before_it_keeps_anything_there(
    project: Any, bucket: Path
) -> None:
    project.configure(OPS_REMOTE_OUTPUTS_DIR=str(bucket / "outputs"))
    flown = project.flow("--wf-wait=true", "--wf-fetch=all")
    assert flown.code == 1, flown.output
    summary = flown.record("flow.summary")
    assert (summary["failed_phase"], summary["failure_code"]) == ("P30", 215), flown.output
    told = " ".join(flown.output.split())
    assert f"{bucket}/outputs/_control on the pod cannot hold control files" in told
    assert "fuse.s3fs is an object store" in told
    assert "Set OPS_REMOTE_OUTPUTS_DIR to a folder on a disk" in told
    found = {name for _, _, names in os.walk(bucket) for name in names}
    assert not found & {"lease.json", "workflow_state.json"}, found
    doctor = project.wf("doctor")
    assert "is on fuse.s3fs, an object store" in doctor.stdout, doctor.stdout
