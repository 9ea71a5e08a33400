"""What starts a row's training script."""

from __future__ import annotations

from pytest_wf.agent.run.trainer_command import LAUNCHERS
from pytest_wf.config.keys import KEYS


def test_each_choice_of_train_launcher_is_a_launcher() -> None:
    key = next(key for key in KEYS if key.name == "TRAIN_LAUNCHER")
    for name in LAUNCHERS:
        assert key.kind.parse(name) == name
    assert sorted(LAUNCHERS) == ["accelerate", "python", "torchrun"]


def test_torchrun_does_not_depend_on_the_name_of_the_host() -> None:
    words = LAUNCHERS["torchrun"].words(2)
    assert "--local-addr=127.0.0.1" in words
    assert words[-1] == "--nproc_per_node=2"


def test_accelerate_takes_a_free_port_as_rows_may_run_beside_each_other() -> None:
    words = LAUNCHERS["accelerate"].words(2)
    assert "--main_process_port=0" in words
    assert words[-1] == "--num_processes=2"


def test_python_starts_the_script_itself() -> None:
    assert LAUNCHERS["python"].words(2) == []
