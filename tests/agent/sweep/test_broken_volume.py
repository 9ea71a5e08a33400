"""A volume of outputs that breaks while rows run on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.fetch.fetch import FetchOptions, fetch_runs
from tests.support.sweep_pod import make_row, ready_pod
from tests.support.waiting import until


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 of its own, which can be made to fail."""
    image, folder = tmp_path / "image", tmp_path / "volume"
    folder.mkdir()
    with image.open("wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no loop device can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.fault("D3")
def test_a_volume_that_becomes_read_only_stops_the_sweep_and_leaves_results_to_be_fetched(
    volume: Path, connect: Callable[..., Any], sweep_values: dict[str, str], tmp_path: Path
) -> None:
    values = {
        **sweep_values,
        "OPS_REMOTE_OUTPUTS_DIR": f"{volume}/outputs",
        "WF_STATE_FILE": f"{volume}/outputs/_control/workflow_state.json",
    }
    pod = ready_pod(connect(values), values)
    gate = tmp_path / "gate"
    pod.trainer(
        "(out / 'model.bin').write_bytes(b'weights')\nprint('step 1: loss 2.0', flush=True)\n"
        f"while os.environ['RUN_ID'] == 'b' and not os.path.exists({str(gate)!r}):\n"
        "    time.sleep(0.02)\n"
        "(out / 'last.bin').write_bytes(b'weights')\n"
    )
    campaign = pod.start(make_row("a"), make_row("b"), make_row("c"))["campaign_id"]
    until(lambda: pod.rows()["b"]["state"] == "running", "row b is at work")
    model = pod.outputs / "b" / "out" / "model.bin"
    until(lambda: model.exists() and model.read_bytes() == b"weights", "b has written")
    # as a file system that has met an error does it
    subprocess.run(["mount", "-o", "remount,abort", str(volume)], check=True)
    gate.touch()
    until(lambda: pod.status()["supervisor"] != "alive", "the supervisor has ended")
    states = {row["run_id"]: row["state"] for row in pod.status()["rows"]}
    assert states["a"] == "success"
    assert states["b"] not in ("success", "running")
    assert states["c"] == "pending"
    with pytest.raises(OperationFailed, match="Read-only file system") as refused:
        pod.resume()
    assert refused.value.kind == "pod-disk"
    assert str(volume) in str(refused.value)
    runs = fetch_runs(pod.client, ["a", "b"], FetchOptions(tmp_path / "here", campaign)).runs
    assert runs["a"].verified
    assert (tmp_path / "here" / "b" / "out" / "model.bin").read_bytes() == b"weights"
