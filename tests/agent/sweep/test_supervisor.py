"""A campaign from its start to its end, with real processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_wf.errors import OperationFailed
from pytest_wf.wire import fsm, ids
from pytest_wf.wire.trainer import variables
from tests.support.sweep_pod import make_row
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeRow = Callable[..., dict[str, Any]]


def test_rows_run_one_after_another_and_the_sweep_completes(pod: Any) -> None:
    pod.trainer(
        "busy = outputs / 'busy'\nbusy.mkdir()\nprint('alone')\ntime.sleep(0.1)\nbusy.rmdir()\n"
    )
    rows = pod.run_to_end(make_row("a"), make_row("b"), make_row("c"))
    assert [r["state"] for r in rows.values()] == ["success"] * 3
    status = pod.status()
    assert status["state"] == fsm.SWEEP_COMPLETED
    assert status["supervisor"] == "ended"
    assert (status["total"], status["ok"], status["failed"]) == (3, 3, 0)
    assert pod.summary("a")["ok"] is True
    assert pod.summary("a")["campaign_id"] == status["campaign_id"]


def test_run_directory_has_the_four_files_as_regular_files(pod: Any) -> None:
    pod.run_to_end(make_row("a"))
    for name in ("command.sh", "status.json", "stdout.log", "summary.json"):
        file = pod.outputs / "a" / name
        assert file.is_file() and not file.is_symlink(), name
    assert (pod.outputs / "a" / "attempts" / "1" / "result.json").is_file()
    assert not (pod.outputs / "a" / "attempts" / "1" / ".reserve").exists()


def test_a_trainer_that_reads_stdin_swallows_no_row(pod: Any) -> None:
    pod.trainer("print('stdin had', len(sys.stdin.read()), 'characters')\n")
    rows = pod.run_to_end(make_row("a"), make_row("b"), make_row("c"))
    assert all(r["ok"] for r in rows.values())
    assert "stdin had 0 characters" in pod.log("c")


@pytest.mark.fault("X1")
@pytest.mark.parametrize(
    ("overrides", "argv"),
    [
        ('"a=1,b=2"', ["a=1,b=2"]),
        ("name='hello world' x=1", ["name=hello world", "x=1"]),
        ("'$(touch /tmp/evil)' '`id`;ls' \"q='\"", ["$(touch /tmp/evil)", "`id`;ls", "q='"]),
    ],
)
def test_overrides_arrive_exactly(pod: Any, overrides: str, argv: list[str]) -> None:
    pod.trainer("(out / 'argv.json').write_text(json.dumps(sys.argv[1:]))\n")
    pod.run_to_end(make_row("a", overrides))
    import json

    seen = json.loads((pod.outputs / "a" / "out" / "argv.json").read_text())
    run_dir = str(pod.outputs / "a")
    head = ["config/a.py", f"out_dir={run_dir}/out", "seed=1", "wandb_log=False"]
    assert seen == [*head, *argv]


def test_a_run_id_cannot_leave_the_outputs_directory(pod: Any) -> None:
    with pytest.raises(OperationFailed, match="not a run id") as refused:
        pod.start(make_row("../evil"))
    assert refused.value.kind == "manifest"
    assert not (pod.outputs.parent / "evil").exists()


def test_rows_go_on_after_a_failure(pod: Any) -> None:
    pod.trainer("assert os.environ['RUN_ID'] != 'b', 'b is bad'\n")
    rows = pod.run_to_end(make_row("a"), make_row("b"), make_row("c"))
    assert [rows[name]["state"] for name in "abc"] == ["success", "failed", "success"]
    assert rows["b"]["failure_class"] == "user"
    assert rows["b"]["reason"] == "AssertionError: b is bad"
    assert rows["b"]["exit_code"] == 1
    assert pod.status()["state"] == fsm.SWEEP_COMPLETED


def test_fail_fast_leaves_the_rest_unrun(pod_with: Any) -> None:
    pod = pod_with(SWEEP_FAIL_FAST="1")
    pod.trainer("sys.exit(3)\n")
    rows = pod.run_to_end(make_row("a"), make_row("b"))
    assert [rows[name]["state"] for name in "ab"] == ["failed", "pending"]
    assert pod.status()["state"] == fsm.SWEEP_STALLED
    assert pod.status()["missing_dir"] == 1


def test_a_failure_worth_it_is_tried_again_and_its_first_log_kept(pod_with: Any) -> None:
    pod = pod_with()
    pod.trainer(
        "mark = out / 'mark'\nif not mark.exists():\n    mark.touch()\n"
        "    sys.exit('torch.distributed.DistBackendError: NCCL error in: x.cpp')\nprint('fine')\n"
    )
    rows = pod.run_to_end(make_row("a"))
    assert rows["a"]["state"] == "success"
    assert rows["a"]["attempts"] == 2
    assert "NCCL error" in pod.log("a", attempt=1)
    assert "fine" in pod.log("a")
    assert "fine" in (pod.outputs / "a" / "stdout.log").read_text()
    assert "NCCL error" not in (pod.outputs / "a" / "stdout.log").read_text()


def test_a_row_may_forbid_retries(pod: Any) -> None:
    pod.trainer("sys.exit('NCCL error')\n")
    rows = pod.run_to_end(make_row("a", retries=0))
    assert (rows["a"]["state"], rows["a"]["attempts"]) == ("failed", 1)
    assert rows["a"]["failure_class"] == "nccl"


def test_a_dry_run_writes_commands_and_never_counts_as_done(pod: Any) -> None:
    rows = pod.run_to_end(make_row("a"), make_row("b"), dry_run=True)
    assert [r["state"] for r in rows.values()] == ["dry_run", "dry_run"]
    status = pod.status()
    assert (status["ok"], status["failed"], status["dry_run"]) == (0, 0, True)
    assert "exec " in (pod.outputs / "a" / "command.sh").read_text()
    assert pod.summary("a")["ok"] is False
    assert pod.summary("a")["dry_run"] is True
    assert not (pod.outputs / "a" / "stdout.log").exists()
    assert pod.run_to_end(make_row("a"))["a"]["state"] == "success"


def test_command_script_runs_again_as_it_stands(pod: Any) -> None:
    pod.trainer("print('arguments:', sys.argv[-1])\n")
    pod.run_to_end(make_row("a", "'x=it is $HOME'"))
    again = subprocess.run(
        [str(pod.outputs / "a" / "command.sh")], capture_output=True, text=True, check=True
    )
    assert again.stdout == "arguments: x=it is $HOME\n"


def test_a_template_is_the_users_own_shell(pod_with: Any) -> None:
    pod = pod_with(TRAIN_COMMAND_TEMPLATE='echo "$RUN_ID|$SEED|$(basename "$PWD")"; exit 0')
    pod.run_to_end(make_row("a"))
    assert "a|1|train" in pod.log("a")


def test_a_template_has_the_launcher_and_the_overrides_as_words(pod_with: Any) -> None:
    pod = pod_with(TRAIN_COMMAND_TEMPLATE='cd . && launch train.py --x="$SEED" "$@" | cat')
    pod.trainer("print('arguments:', sys.argv[1:])\n")
    pod.run_to_end(make_row("a", "lr=1 'x=it is $HOME' y=`id`"))
    assert "arguments: ['--x=1', 'lr=1', 'x=it is $HOME', 'y=`id`']" in pod.log("a")


def test_a_module_may_be_the_entrypoint(pod_with: Any) -> None:
    pod = pod_with(TRAIN_ENTRYPOINT="-m train")
    pod.trainer("print('arguments:', sys.argv[-1])\n")
    pod.run_to_end(make_row("a", "lr=1"))
    assert "arguments: lr=1" in pod.log("a")


def test_every_variable_of_a_row_is_documented(pod_with: Any) -> None:
    pod = pod_with(SWEEP_WANDB="1", HF_HOME="/mnt/hf", HF_ENDPOINT="http://hub.example")
    pod.run_to_end(make_row("a"))
    script = (pod.outputs / "a" / "command.sh").read_text()
    assert set(re.findall("^export (\\w+)=", script, re.M)) <= variables.NAMES


def test_a_template_fails_where_any_part_of_its_pipeline_does(pod_with: Any) -> None:
    template = 'echo "loss nan"; (exit 3) | tee "$TRAIN_OUT_DIR/copy"'
    pod = pod_with(TRAIN_COMMAND_TEMPLATE=template, RUN_RETRIES="0")
    ended = pod.run_to_end(make_row("a"))["a"]
    assert (ended["state"], ended["exit_code"]) == ("failed", 3)
    by_hand = subprocess.run([pod.outputs / "a/command.sh"], capture_output=True)
    assert by_hand.returncode == 3, "by hand it is the same"


def test_secrets_reach_the_trainer_and_nothing_else(pod: Any) -> None:
    secret = "tops3cret-value-of-wandb"
    pod.trainer(
        "key = os.environ['WANDB_API_KEY']\nprint('key', key)\nprint(len(key), 'characters')\n"
        "for part in (key[:9], key[9:]):\n"
        "    print(part, end='', flush=True)\n    time.sleep(0.2)\n"
    )
    rows = pod.run_to_end(make_row("a"), secrets={"WANDB_API_KEY": secret})
    assert rows["a"]["ok"]
    assert f"{len(secret)} characters" in pod.log("a")
    assert pod.log("a").count("[redacted]") == 2
    for folder, _, names in os.walk(pod.outputs.parent):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as f:
                assert secret.encode() not in f.read(), path


@pytest.mark.fault("P4")
def test_the_window_of_the_sweep_only_watches(pod: Any) -> None:
    assert shutil.which("tmux"), "tmux is part of the machine that the suite runs on"
    pod.trainer(
        "print('here I am', flush=True)\nwhile not (out / 'go').exists(): time.sleep(0.05)\n"
    )
    pod.start(make_row("a"))
    socket = ids.tmux_socket(str(pod.outputs))
    assert pod.status()["attach"] == f"tmux -L {socket} attach -t =sweeps"

    def screen() -> str:
        shown = subprocess.run(
            ["tmux", "-L", socket, "capture-pane", "-p", "-t", "=sweeps:sweep"],
            capture_output=True,
            text=True,
        )
        return shown.stdout

    until(lambda: "here I am" in screen(), "the window shows the trainer's log")
    subprocess.run(["tmux", "-L", socket, "kill-server"], check=True)
    (pod.outputs / "a" / "out" / "go").touch()
    assert pod.ended()["ok"] == 1


def test_numbers_come_from_the_metrics_file(pod: Any) -> None:
    pod.trainer(
        "with open(out / 'metrics.jsonl', 'w') as f:\n"
        '    f.write(\'{"step": 1, "loss": 3.5}\\n{"step": 2, "loss": 2.5, "lr": NaN}\\n\')\n'
    )
    rows = pod.run_to_end(make_row("a"))
    assert rows["a"]["metrics"] == {"step": 2, "loss": 2.5, "lr": "nan"}
    loss = {"step": 2, "min": 2.5, "min_step": 2, "max": 3.5, "max_step": 1}
    assert rows["a"]["extremes"] == {"loss": loss}
    assert pod.summary("a")["extremes"] == {"loss": loss}


def test_a_row_whose_metric_is_nan_in_every_report_is_a_success_with_a_note(pod: Any) -> None:
    pod.trainer("for i in range(3): print('step %d: train loss nan, lr 0.1' % i)\n")
    row = pod.run_to_end(make_row("a"))["a"]
    assert row["state"] == "success"
    told = "train_loss: nan, not finite in 3 of 3 reports"
    assert {"code": "nan", "text": told} in row["notes"]


def test_progress_is_seen_while_a_row_runs(pod: Any) -> None:
    pod.trainer(
        "print('step 7: train loss 1.25, val loss 1.5', flush=True)\n"
        "while not (out / 'go').exists(): time.sleep(0.05)\n"
    )
    pod.start(make_row("a"))
    seen = until(lambda: pod.rows()["a"]["progress"], "progress")
    assert seen == {"step": 7, "train_loss": 1.25, "val_loss": 1.5}
    (pod.outputs / "a" / "out" / "go").touch()
    assert pod.ended()["rows"][0]["metrics"]["val_loss"] == 1.5


def test_a_row_whose_directory_is_not_ours_waits_and_keeps_no_other_from_running(pod: Any) -> None:
    pod.trainer(
        "other = outputs / 'b' / 'out'\n"
        "if os.environ['RUN_ID'] == 'a': other.mkdir(parents=True); (other / 'x').touch()\n"
    )
    pod.start(make_row("a"), make_row("b"), make_row("c"))
    status = pod.ended()
    states = {row["run_id"]: row["state"] for row in status["rows"]}
    assert states == {"a": "success", "b": "pending", "c": "success"}
    foreign = f"{pod.outputs}/b exists, and pytest-wf did not make it"
    assert (status["state"], status["reason"]) == (
        fsm.SWEEP_STALLED,
        f"row b cannot go on: {foreign}",
    )
    assert (pod.outputs / "b" / "out" / "x").exists()
    shutil.rmtree(pod.outputs / "b")
    pod.resume()
    assert pod.ended()["ok"] == 3


@pytest.mark.fault("P5")
def test_tmux_sessions_of_others_with_the_same_or_a_longer_name_are_left_alone(pod: Any) -> None:
    socket = ids.tmux_socket(str(pod.outputs))
    tmux = ["tmux", "-L", socket]
    for name in ("sweeps", "sweeps10"):
        subprocess.run([*tmux, "new-session", "-d", "-s", name, "sleep", "600"], check=True)
    pod.run_to_end(make_row("a"))
    assert pod.status()["ok"] == 1, "no window is needed"
    listed = subprocess.run(
        [*tmux, "list-panes", "-a", "-F", "#{session_name} #{pane_current_command}"],
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split("\n")[:2] == ["sweeps sleep", "sweeps10 sleep"]


@pytest.mark.fault("P4")
def test_a_removed_tmux_socket_costs_the_window_alone(pod: Any) -> None:
    pod.trainer("while not (out / 'go').exists(): time.sleep(0.02)\n")
    pod.start(make_row("a"), make_row("b"))
    socket = Path(f"/tmp/tmux-{os.getuid()}/{ids.tmux_socket(str(pod.outputs))}")
    until(socket.exists, "the window is open")
    socket.unlink()
    for name in "ab":
        until((pod.outputs / name / "out").exists, f"row {name} has begun")
        (pod.outputs / name / "out" / "go").touch()
    assert pod.ended()["ok"] == 2
