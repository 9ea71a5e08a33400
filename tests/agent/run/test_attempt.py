"""How the runner ends a trainer, and how it says why."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.wire.files import read_json
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRow = Callable[..., dict[str, Any]]

STUBBORN = (
    "import subprocess\n"
    'worker = \'trap "" TERM; : > "$TRAIN_OUT_DIR/deaf"; exec sleep 600\'\n'
    "subprocess.Popen(['sh', '-c', worker], start_new_session=True)\n"
)


@pytest.mark.fault("P9", "P13")
def test_a_time_out_ends_workers_in_sessions_of_their_own_that_ignore_sigterm(pod: Any) -> None:
    pod.trainer(STUBBORN + "while True: time.sleep(1)\n")
    pod.start(make_row("a", timeout_s=5), make_row("b", timeout_s=1))
    with pod.stopped_runner("a"):
        pod.wait_for_file("a/out/deaf")
    a, b = pod.ended()["rows"]
    assert (a["state"], a["failure_class"]) == ("timed_out", "timeout")
    assert b["state"] == "timed_out", "rows go on"
    assert not pod.cookie_holders("a") and not pod.cookie_holders("b")
    assert read_json(str(pod.outputs / "a/attempts/1/result.json"))["left"] == []


def test_workers_that_outlive_a_good_trainer_are_ended_too(pod: Any) -> None:
    pod.trainer(STUBBORN + "time.sleep(0.3)\nprint('done')\n")
    rows = pod.run_to_end(make_row("a"))
    assert rows["a"]["state"] == "success"
    assert not pod.cookie_holders("a")
    notes = read_json(str(pod.outputs / "a/attempts/1/result.json"))["notes"]
    assert any("outlived" in note["text"] for note in notes)


@pytest.mark.parametrize(
    ("work", "codes"),
    [
        ("print('bye')", ["wrote-nothing"]),
        ("(out / 'metrics.jsonl').touch(); print('bye')", ["wrote-nothing"]),
        ("(out / 'deep').mkdir(); (out / 'deep' / 'model.bin').write_text('x')", ["no-metrics"]),
        ("print('step 1: train loss 2.0')", []),
        ("sys.exit('no result either')", []),
    ],
)
def test_a_good_row_without_any_content_or_metric_is_a_success_with_a_note(
    pod: Any, work: str, codes: list[str]
) -> None:
    pod.trainer(work)
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == ("failed" if "exit" in work else "success")
    assert [note["code"] for note in row["notes"]] == codes


def test_the_pattern_of_the_config_finds_a_rows_metrics(pod_with: Any) -> None:
    pod = pod_with(METRICS_LOG_PATTERN=r"^It (?P<step>\d+) gap '(?P<gap>[^']+)'$")
    pod.trainer("print(\"It 40 gap '0.5'\\nIt 41 gap '0.25'\")")
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["metrics"] == {"step": 41, "gap": 0.25}


@pytest.mark.fault("P11")
def test_silence_without_growth_is_a_stall(pod_with: Any) -> None:
    pod = pod_with(RUN_HEARTBEAT_SECS="1", RUN_RETRIES="0")
    pod.trainer("print('hello', flush=True)\nwhile True: time.sleep(1)\n")
    rows = pod.run_to_end(make_row("a"))
    assert (rows["a"]["state"], rows["a"]["failure_class"]) == ("failed", "stalled")


@pytest.mark.fault("P12")
def test_a_row_silent_for_three_times_its_limit_is_left_alone_while_it_shows_a_sign_of_life(
    pod_with: Any,
) -> None:
    # a limit of seconds: a machine at full load starts and resumes a process late
    pod = pod_with(
        RUN_HEARTBEAT_SECS="5", RUN_RETRIES="0", CUDA_VISIBLE_DEVICES="0,1", GPUS_PER_RUN="1"
    )
    pod.trainer(
        "for i in range(151):\n    time.sleep(0.1)\n"
        "    if os.environ['RUN_ID'] == 'beats':\n"
        "        pathlib.Path(os.environ['WF_HEARTBEAT_FILE']).write_text(str(i))\n"
        "    else:\n"
        "        (out / 'ckpt').write_text('x' * i)\n"
    )
    rows = pod.run_to_end(make_row("beats"), make_row("grows"))
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(rows, "success")
    for name in ("beats", "grows"):
        assert pod.log(name) == ""
        assert pod.summary(name)["duration_s"] > 15


@pytest.mark.fault("P11")
def test_a_stalled_rows_stacks_are_kept_where_py_spy_is_on_the_pod(pod_with: Any) -> None:
    pod = pod_with(RUN_HEARTBEAT_SECS="5", RUN_RETRIES="0")
    spy = pod.repo / ".venv" / "bin" / "py-spy"
    spy.write_text('#!/bin/sh\necho "Thread $4 (idle): in all_reduce, key $WANDB_API_KEY"\n')
    spy.chmod(0o755)
    pod.trainer("print('pid', os.getpid(), flush=True)\nwhile True: time.sleep(1)\n")
    row = pod.run_to_end(make_row("a"), secrets={"WANDB_API_KEY": "a-long-secret"})["a"]
    assert row["failure_class"] == "stalled"
    stacks = (pod.outputs / "a/attempts/1/stacks.txt").read_text()
    pid = pod.log("a").split()[-1]
    assert f"pid {pid}\nThread {pid} (idle): in all_reduce" in stacks


@pytest.mark.fault("P14")
def test_sigterm_to_the_runner_is_a_preemption(pod: Any) -> None:
    pod.trainer("print('up', flush=True)\nwhile True: time.sleep(1)\n")
    pod.start(make_row("a", retries=0))
    until(lambda: "up" in pod.wait_for_file("a/stdout.log").read_text(), "row a is up")
    os.kill(read_json(str(pod.outputs / "a/attempts/1/pid.json"))["pid"], signal.SIGTERM)
    row = pod.ended()["rows"][0]
    assert (row["state"], row["failure_class"]) == ("failed", "preempted")


def test_a_killed_trainer_is_classed_by_its_signal(pod: Any) -> None:
    pod.trainer("os.kill(os.getpid(), 9)\n")
    row = pod.run_to_end(make_row("a"))["a"]
    assert (row["failure_class"], row["exit_code"]) == ("killed", 137)


def test_trainer_inherits_no_descriptor_but_the_three(pod: Any) -> None:
    pod.trainer("print(sorted(os.listdir('/proc/self/fd'), key=int)[:4])\n")
    pod.run_to_end(make_row("a"))
    assert "['0', '1', '2', '3']" in pod.log("a"), "3 is the listing's own"
    pod.trainer(
        "print([n for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)])\n"
    )
    pod.run_to_end(make_row("b"))
    assert "['0', '1', '2']" in pod.log("b")


def test_exports_reach_the_trainer(pod_with: Any) -> None:
    pod = pod_with(
        DATA_DIR="/data",
        HF_HOME="/hf",
        NPROC_PER_NODE="3",
        SWEEP_WANDB="1",
        WANDB_PROJECT="p",
        WANDB_GROUP="g",
    )
    pod.trainer(
        "(out / 'env.json').write_text(json.dumps(dict(os.environ)))\n"
        "(out / 'argv.json').write_text(json.dumps(sys.argv[1:]))\n"
    )
    pod.run_to_end(make_row("a", "lr=1"))
    env = read_json(str(pod.outputs / "a" / "out" / "env.json"))
    wanted = {
        "RUN_ID": "a",
        "CONFIG": "config/a.py",
        "SEED": "1",
        "OVERRIDES": "lr=1",
        "TRAIN_OUT_DIR": str(pod.outputs / "a" / "out"),
        "NPROC_PER_NODE": "3",
        "DATA_DIR": "/data",
        "HF_HOME": "/hf",
        "WANDB_LOG": "True",
        "WANDB_PROJECT": "p",
        "WANDB_GROUP_VALUE": "g",
        "WANDB_RUN_NAME": "a",
        "OPS_REMOTE_REPO": str(pod.repo),
        "VENV_PYTHON": str(pod.repo / ".venv/bin/python"),
    }
    assert {name: env.get(name) for name in wanted} == wanted
    argv = read_json(str(pod.outputs / "a" / "out" / "argv.json"))
    assert argv[2:] == [
        "data_dir=/data",
        "seed=1",
        "wandb_log=True",
        "wandb_project=p",
        "wandb_group=g",
        "wandb_run_name=a",
        "lr=1",
    ]
    assert Path(sys.executable).exists()
