"""P40: prerequisites, packages and helper scripts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.search_path import SearchPath

Act = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _ready(settings: Settings) -> None:
    state.reset(settings, fsm.POD_READY, "for the test")


def test_a_pod_that_has_everything_is_bootstrapped(act: Act, settings: Settings) -> None:
    result = act("bootstrap", verify=False)

    assert result["missing"] == []
    assert result["tools"]["git"]
    assert result["log_op_id"] == "r-test"
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED
    for folder in (settings.outputs, settings.manifests):
        assert os.path.isdir(folder)


def test_verifying_changes_nothing(act: Act, settings: Settings, tmp_path: Path) -> None:
    script = tmp_path / "b.sh"
    script.write_text("exit 9")

    result = act("bootstrap", keys={"BOOTSTRAP_SCRIPT": str(script)}, verify=True)

    assert result["verified_only"]
    assert result["scripts"] == []
    assert state.read_state(settings).state == fsm.POD_READY
    assert not os.path.exists(settings.manifests)


def test_missing_git_stops_it_with_the_remedy(
    act: Act, path: SearchPath, settings: Settings
) -> None:
    path.remove("git", "tmux")
    path.add_apt()

    with pytest.raises(Refusal, match="missing on the pod: git") as refused:
        act("bootstrap")

    assert refused.value.kind == "prerequisites"
    assert refused.value.remedy == "Set AUTO_INSTALL_PREREQS=1 to have apt install what is missing."
    assert state.read_state(settings).state == fsm.POD_READY


@pytest.mark.parametrize(
    ("keys", "verify", "why"),
    [
        ({}, False, "the pod has no apt-get"),
        ({"WF_ENGINE": "slurm"}, False, "AUTO_INSTALL_PREREQS installs nothing on a cluster"),
        ({}, True, "a resume installs nothing"),
    ],
)
def test_apt_is_no_remedy_where_it_would_not_help(
    act: Act, path: SearchPath, keys: dict[str, str], verify: bool, why: str
) -> None:
    path.remove("git")

    with pytest.raises(Refusal) as refused:
        act("bootstrap", keys=keys, verify=verify)

    assert refused.value.remedy == (
        f"Install what is missing there, or use an image that has it: {why}."
    )


def test_missing_bash_stops_it_as_commands_of_the_user_need_it(act: Act, path: SearchPath) -> None:
    path.remove("bash")

    with pytest.raises(Refusal, match="missing on the pod: bash"):
        act("bootstrap", keys={"BOOTSTRAP_SCRIPT": "/a/script.sh"})


def test_missing_tmux_and_rsync_are_told_and_do_not_stop(act: Act, path: SearchPath) -> None:
    path.remove("tmux", "rsync")

    assert act("bootstrap")["missing_optional"] == ["tmux", "rsync"]


def test_rsync_is_needed_where_runs_are_mirrored(act: Act, path: SearchPath) -> None:
    path.remove("rsync")

    with pytest.raises(Refusal, match="rsync"):
        act("bootstrap", keys={"RUN_OUT_MODE": "local_sync"})


@pytest.mark.parametrize("python", ["no-such-python", "/opt/missing/bin/python", "false"])
@pytest.mark.parametrize("installs", ["0", "1"])
def test_a_python_that_cannot_be_used_is_missing_and_those_of_the_pod_are_named(
    act: Act, path: SearchPath, python: str, installs: str
) -> None:
    keys = {"REMOTE_PYTHON_BIN": python, "AUTO_INSTALL_PREREQS": installs}

    with pytest.raises(Refusal, match=rf"{python} \(3.8 or later\)") as refused:
        act("bootstrap", keys=keys)

    begin, _, named = refused.value.remedy.partition(": ")
    assert begin == "Set REMOTE_PYTHON_BIN to a Python that the pod has"
    assert str(path.folder / "python3") in named.rstrip(".").split(" or ")


def test_the_python_of_debian_is_installed_with_venv(act: Act, path: SearchPath) -> None:
    path.remove("python3")
    noted = path.add_apt(rc=100)

    with pytest.raises(Refusal, match="python3-venv cannot be installed"):
        act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1"})

    assert noted.read_text().endswith("-- python3-venv\n")


def test_what_is_missing_is_installed_without_a_question(act: Act, path: SearchPath) -> None:
    path.remove("git")
    noted = path.add_apt(installs="git")

    result = act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1"})

    assert result["installed"] == ["git"]
    assert noted.read_text().splitlines() == [
        "noninteractive -q update",
        "noninteractive -q install -y --no-install-recommends -o DPkg::Lock::Timeout=120 -- git",
    ]


def test_the_users_packages_are_installed_too(act: Act, path: SearchPath) -> None:
    path.add("dpkg", '#!/bin/sh\n[ "$3" = htop ]\n')
    noted = path.add_apt()
    keys = {"AUTO_INSTALL_PREREQS": "1", "APT_PACKAGES": "htop libnccl2=2.18.3-1+cuda12.1"}

    result = act("bootstrap", keys=keys)

    assert result["installed"] == ["libnccl2=2.18.3-1+cuda12.1"]
    assert noted.read_text().splitlines()[-1].endswith("-- libnccl2=2.18.3-1+cuda12.1")


def test_apt_is_not_asked_when_nothing_is_missing(act: Act, path: SearchPath) -> None:
    noted = path.add_apt()

    assert act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1"})["installed"] == []
    assert not noted.exists()


@pytest.mark.parametrize("packages", ["-o=APT::x", "a;b", "$(id)", "../x.deb", "UPPER"])
def test_only_package_names_reach_apt(act: Act, path: SearchPath, packages: str) -> None:
    noted = path.add_apt()

    with pytest.raises(Refusal, match="APT_PACKAGES names no package"):
        act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1", "APT_PACKAGES": packages})

    assert not noted.exists()


def test_a_failed_install_of_what_is_needed_stops_it(act: Act, path: SearchPath) -> None:
    path.remove("git")
    path.add_apt(rc=100)

    with pytest.raises(Refusal, match="git cannot be installed: exit status 100") as refused:
        act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1"})

    assert refused.value.kind == "apt"
    assert refused.value.remedy == "Install what is missing by hand, or use an image that has it."


def test_a_package_that_apt_does_not_have_is_to_be_taken_out(act: Act, path: SearchPath) -> None:
    path.add_apt(rc=100)

    with pytest.raises(Refusal, match="no-such cannot be installed") as refused:
        act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1", "APT_PACKAGES": "no-such"})

    assert refused.value.remedy == "Correct APT_PACKAGES; take out what apt cannot install there."


def test_a_failed_install_of_what_is_not_needed_is_a_warning(act: Act, path: SearchPath) -> None:
    path.remove("tmux")

    result = act("bootstrap", keys={"AUTO_INSTALL_PREREQS": "1"})

    assert result["missing_optional"] == ["tmux"]
    assert result["warnings"] == ["tmux cannot be installed: the pod has no apt-get"]


def test_the_users_script_sees_the_config(act: Act, tmp_path: Path, settings: Settings) -> None:
    script = tmp_path / "it's a script.sh"
    script.write_text(f'echo "$OPS_REMOTE_REPO" > {tmp_path}/seen; echo hello from it')

    result = act("bootstrap", keys={"BOOTSTRAP_SCRIPT": str(script)})

    assert (tmp_path / "seen").read_text().strip() == settings.repo
    assert result["scripts"] == [
        {"key": "BOOTSTRAP_SCRIPT", "path": str(script), "rc": 0, "required": False}
    ]
    assert "hello from it" in Path(settings.operations, "r-test", "log").read_text()


def test_a_failing_users_script_is_recorded_and_does_not_stop(act: Act, tmp_path: Path) -> None:
    result = act("bootstrap", keys={"BOOTSTRAP_SCRIPT": str(tmp_path / "absent.sh")})

    assert result["scripts"][0]["rc"] == 127
    assert "BOOTSTRAP_SCRIPT=" in result["warnings"][0]


def test_a_script_that_hangs_is_ended(act: Act, tmp_path: Path) -> None:
    script = tmp_path / "b.sh"
    script.write_text("sleep 600")

    result = act("bootstrap", keys={"BOOTSTRAP_SCRIPT": str(script), "WF_PHASE_TIMEOUT_SECS": "1"})

    assert result["scripts"][0]["rc"] is None
    assert "timed out" in result["warnings"][0]


@pytest.mark.parametrize(
    ("switch", "runs"),
    [({}, False), ({"SWEEP_WANDB": "1"}, True), ({"RUN_WANDB_SETUP": "1"}, True)],
    ids=["off", "by the sweep", "by itself"],
)
def test_wandb_is_set_up_only_when_it_is_switched_on(
    act: Act, tmp_path: Path, switch: dict[str, str], runs: bool
) -> None:
    script = tmp_path / "wandb.sh"
    script.write_text(f"echo x > {tmp_path}/ran")

    act("bootstrap", keys={"WANDB_SETUP_SCRIPT": str(script), **switch})

    assert (tmp_path / "ran").exists() is runs


def test_wandb_without_a_login_is_warned_of(
    act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    def warned(**keys: str) -> bool:
        warnings = act("bootstrap", keys=keys)["warnings"]
        return any("runs are kept offline" in line for line in warnings)

    assert warned(SWEEP_WANDB="1")
    assert not warned(SWEEP_WANDB="1", WF_SECRET_ENV="HF_TOKEN WANDB_API_KEY")
    assert not warned(SWEEP_WANDB="0")
    script = tmp_path / "wandb.sh"
    script.write_text('echo "machine api.wandb.ai login user password k" > ~/.netrc')
    assert not warned(SWEEP_WANDB="1", WANDB_SETUP_SCRIPT=str(script))
    (tmp_path / ".netrc").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not warned(SWEEP_WANDB="1"), "it was asked for"


def test_a_failing_wandb_setup_stops_it(act: Act, tmp_path: Path, settings: Settings) -> None:
    script = tmp_path / "wandb.sh"
    script.write_text("echo no such account >&2; exit 4")

    with pytest.raises(Refusal, match="exit status 4: no such account") as refused:
        act("bootstrap", keys={"WANDB_SETUP_SCRIPT": str(script), "SWEEP_WANDB": "1"})

    assert refused.value.kind == "helper-script"
    assert state.read_state(settings).state == fsm.POD_READY


def test_it_is_refused_while_a_sweep_runs(act: Act, settings: Settings) -> None:
    state.reset(settings, fsm.SWEEP_RUNNING, "for the test")

    with pytest.raises(Refusal, match="the pod is in SWEEP_RUNNING"):
        act("bootstrap")
