"""Twelve rows, one for each way to fail: each ends in its class, and the others all ran."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_wf.wire import fsm
from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row

MEMORY_BYTES = 400 << 20

#: What each row does, and what it ends as: state, class, exit status, tries.
ROWS: dict[str, tuple[str, str, str | None, int | None, int]] = {
    "good": ("print('fine')", "success", None, 0, 1),
    "oom": ("OOM", "failed", "oom", 137, 1),
    "import": ("import nothing_of_that_name", "failed", "import", 1, 1),
    "nccl": ("raise RuntimeError('NCCL error in: x.cpp:94, remote')", "failed", "nccl", 1, 2),
    "hang": (
        "import signal; os.kill(os.getpid(), signal.SIGSTOP)",
        *("failed", "stalled", 143, 2),
    ),
    "slow": (
        "while True: print('on', flush=True); time.sleep(0.1)",
        "timed_out",
        "timeout",
        143,
        1,
    ),
    "disk": ("open('SMALL/big', 'wb').write(b'x' * (9 << 20))", "failed", "disk_full", 1, 1),
    "user": ("raise ValueError('n_head must divide n_embd')", "failed", "user", 1, 1),
    "data": ("open('data/fineweb_train_000001.bin')", "failed", "data", 1, 1),
    "killed": ("os.kill(os.getpid(), 9)", "failed", "killed", 137, 1),
    "evicted": ("os.kill(os.getpid(), 15)", "failed", "preempted", 143, 2),
    "cuda": ("raise RuntimeError('CUDA error: device-side assert')", "failed", "cuda", 1, 1),
}


@pytest.fixture
def limit_memory() -> Iterator[Callable[[int], bool]]:
    """``limit_memory(pid)``: put a process and what it starts into a small memory cgroup (v1).

    False where this machine lets nobody make one.
    """
    groups = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = [path for _, controllers, path in groups if "memory" in controllers.split(",")]
    group = Path(f"/sys/fs/cgroup/memory{own[0] if own else ''}/wf-{os.getpid()}")

    def limit(pid: int) -> bool:
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text(str(MEMORY_BYTES))
            (group / "memory.memsw.limit_in_bytes").write_text(str(MEMORY_BYTES))
            (group / "cgroup.procs").write_text(str(pid))
            # the process that forks for it was started before
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                (group / "cgroup.procs").write_text(child)
        except OSError:
            return False
        return True

    yield limit
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


@pytest.mark.fault("P10")
def test_each_failure_ends_in_its_class_and_those_worth_it_are_tried_again(
    pod_with: Any,
    limit_memory: Callable[[int], bool],
    small_disk: Path,
    record_property: Callable[[str, object], None],
) -> None:
    # long enough for four rows that start at once on a machine at full load
    pod = pod_with(CUDA_VISIBLE_DEVICES="0,1,2,3", GPUS_PER_RUN="1", RUN_HEARTBEAT_SECS="8")
    by_the_kernel = limit_memory(pod.client.hello["pid"])
    record_property("oom", "by the kernel" if by_the_kernel else "NOT by the kernel: no cgroup v1")
    oom = "x = bytearray(1 << 30); x[::4096] = b'1' * len(x[::4096])"
    if not by_the_kernel:
        oom = "print('torch.OutOfMemoryError: CUDA out of memory', flush=True); os._exit(137)"
    acts = {name: row[0].replace("SMALL", str(small_disk)) for name, row in ROWS.items()}
    acts["oom"] = oom
    acts_file = pod.repo / "acts.json"
    acts_file.write_text(json.dumps(acts))
    # as a file of its own: a traceback shows the line that raised
    pod.trainer(f"exec(json.loads(open({str(acts_file)!r}).read())[os.environ['RUN_ID']])\n")
    limits: dict[str, Any] = {"slow": {"timeout_s": 2}}
    pod.start(*[make_row(name, **limits.get(name, {})) for name in ROWS])
    status = pod.ended()
    assert (status["total"], status["ok"], status["failed"]) == (12, 1, 11)
    assert status["state"] == fsm.SWEEP_COMPLETED
    ended = {
        row["run_id"]: (row["state"], row["failure_class"], row["exit_code"], row["attempts"])
        for row in status["rows"]
    }
    assert ended == {name: row[1:] for name, row in ROWS.items()}
    if by_the_kernel:
        assert "the kernel killed" in pod.summary("oom")["reason"]
    for name in ROWS:
        check(pod.outputs / name)


def check(folder: Path) -> None:
    """The records of a run are of the published form, and each attempt has its own."""
    for name, schema in (("summary.json", "run.summary"), ("status.json", "run.status")):
        text = files("pytest_wf.schemas").joinpath(f"{schema}.schema.json").read_text()
        jsonschema.validate(read_json(str(folder / name)), json.loads(text))
    commands = set()
    for attempt in (folder / "attempts").iterdir():
        assert read_json(str(attempt / "result.json"))["attempt"] == int(attempt.name)
        assert (attempt / "stdout.log").is_file()
        lines = (attempt / "command.sh").read_text().splitlines()
        place = ("export WF_COOKIE=", "export CUDA_VISIBLE_DEVICES=")
        commands.add(tuple(line for line in lines if not line.startswith(place)))
    assert len(commands) == 1, "the same command each time"
