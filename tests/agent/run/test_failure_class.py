"""Why attempts ended: classes and the lines that decided."""

from __future__ import annotations

import pytest

from pytest_wf.agent.run.failure_class import classify
from pytest_wf.wire.failures import CLASSES

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
NCCL = "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970"
STAMP = "2026-01-02T03:04:05.678Z "
CHILD_FAILED = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"


def test_every_class_that_a_line_decides_is_one_that_may_be_retried() -> None:
    decided = {classify(1, None, [line]).failure_class for line in (OOM, NCCL, "ValueError: x")}
    assert decided <= set(CLASSES)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (OOM, "oom"),
        ("MemoryError", "oom"),
        ("RuntimeError: CUDA error: out of memory", "oom"),
        (NCCL, "nccl"),
        ("[rank1]: Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)", "nccl"),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", "cuda"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "cuda"),
        ("AssertionError: magic number mismatch in the data .bin file", "data"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/data/train_000.bin'", "data"),
        ("ModuleNotFoundError: No module named 'flash_attn'", "import"),
        ("ImportError: libcudnn.so.9: cannot open shared object file", "import"),
        ("OSError: [Errno 28] No space left on device", "disk_full"),
        ("ValueError: n_head must divide n_embd", "user"),
        ("torch...api.SignalException: Process 7 got signal: 15", "preempted"),
    ],
)
def test_a_line_decides(line: str, expected: str) -> None:
    cause = classify(1, None, ["epoch 1", STAMP + line, "bye"])
    assert cause.failure_class == expected
    assert cause.reason == line


def test_the_source_that_a_traceback_quotes_decides_nothing() -> None:
    place = '  File "train.py", line 3, in <module>'
    source = '    raise RuntimeError("CUDA out of memory, or so it seems")'
    raised = "RuntimeError: CUDA out of memory, or so it seems"
    assert classify(1, None, [place, source, raised]) == ("oom", raised)
    handled = '    if "CUDA out of memory" in str(e): raise KeyError("lr")'
    assert classify(1, None, [place, handled, "KeyError: 'lr'"]) == ("user", "KeyError: 'lr'")
    of_rank = [f"[rank0]: {line}" for line in (place, handled, "KeyError: 'lr'")]
    assert classify(1, None, of_rank).failure_class == "user"


def test_the_error_decides_where_a_traceback_has_no_sources() -> None:
    place = '  File "<string>", line 1, in <module>'
    assert classify(1, None, [place, place, OOM]) == ("oom", OOM)
    assert classify(1, None, [f"[rank0]: {place}", f"[rank0]: {OOM}"]).failure_class == "oom"


def test_a_cause_beats_its_echoes() -> None:
    assert classify(1, None, [NCCL, NCCL, OOM]).failure_class == "oom"


def test_the_users_exception_is_named_not_the_launchers_summary() -> None:
    tail = [CHILD_FAILED, "ValueError: bad head", "====", "FAILED"]
    assert classify(1, None, tail).reason == "ValueError: bad head"


def summary_of(first: int, other: int) -> list[str]:
    """torchrun's summary of two ranks that failed."""
    return [
        CHILD_FAILED,
        "Failures:",
        "[1]:",
        f"  exitcode  : {other} (pid: 8)",
        "Root Cause (first observed failure):",
        "[0]:",
        f"  exitcode  : {first} (pid: 7)",
    ]


def test_a_rank_that_torchrun_ended_is_an_echo_of_the_one_that_raised() -> None:
    cause = classify(1, None, ["[rank0]: ValueError: bad head", *summary_of(1, -15)])
    assert cause == ("user", "[rank0]: ValueError: bad head")


@pytest.mark.parametrize(("first", "expected"), [(-9, "killed"), (-15, "preempted"), (-6, "nccl")])
def test_errors_of_other_ranks_are_echoes_of_one_that_was_killed_from_outside(
    first: int, expected: str
) -> None:
    assert classify(1, None, [NCCL, *summary_of(first, 1)]).failure_class == expected


@pytest.mark.parametrize(
    ("exit_code", "ended_by", "expected"),
    [
        (137, 9, "killed"),
        (137, None, "killed"),
        (143, 15, "preempted"),
        (143, None, "preempted"),
        (139, 11, "user"),
        (3, None, "user"),
    ],
)
def test_without_a_line_the_status_decides(
    exit_code: int, ended_by: int | None, expected: str
) -> None:
    assert classify(exit_code, ended_by, ["working"]).failure_class == expected


def test_a_kernel_that_killed_for_memory_is_believed_first() -> None:
    assert classify(137, 9, [NCCL], oom_kills=1).failure_class == "oom"


def test_a_missing_config_of_the_users_is_no_missing_data() -> None:
    line = "FileNotFoundError: [Errno 2] No such file or directory: 'config/tpyo.py'"
    assert classify(1, None, [line]).failure_class == "user"


def test_silence_is_explained_by_the_status() -> None:
    assert classify(7, None, []).reason == "ended with status 7"
    assert classify(139, 11, ["x"]).reason == "ended by SIGSEGV; last line: x"


@pytest.mark.parametrize("rank", ["", "[rank0]: "])
def test_an_exception_without_a_message_is_told_with_the_line_that_raised_it(rank: str) -> None:
    tail = [
        "Traceback (most recent call last):",
        '  File "train.py", line 30, in <module>',
        "    main()",
        '  File "train.py", line 3, in main',
        '    assert batch["x]:"] > 0',
        "           ^^^^^^^^^^^^^^^",
        "AssertionError",
    ]
    cause = classify(1, None, [rank + line for line in tail])
    assert cause.reason == (
        rank + 'AssertionError: assert batch["x]:"] > 0 (File "train.py", line 3)'
    )


def test_an_exception_without_a_message_and_traceback_is_told_as_it_is() -> None:
    assert classify(1, None, ["epoch 1", "AssertionError"]).reason == "AssertionError"


def test_a_wrong_argument_is_told_not_the_traceback_of_the_launcher() -> None:
    wrong = "train.py: error: argument --lr: invalid float value: 'fast'"
    launcher = "subprocess.CalledProcessError: Command '['p']' returned non-zero exit status 2."
    assert classify(1, None, ["usage: train.py", wrong, launcher]).reason == wrong


def test_a_trainer_whose_launcher_says_that_it_was_killed_was_killed() -> None:
    launcher = "subprocess.CalledProcessError: Command '['p']' died with <Signals.SIGKILL: 9>."
    assert classify(1, None, ["epoch 1", launcher]).failure_class == "killed"


@pytest.mark.parametrize(
    "line", ["In 'config': Could not find 'optimizer/none'", "Could not override 'optimizer.foo'."]
)
def test_a_config_that_hydra_cannot_compose_is_told_by_its_own_line(line: str) -> None:
    tail = [line, "", "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."]
    assert classify(1, None, tail).reason == line
