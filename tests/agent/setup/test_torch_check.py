"""The contract on torch: it is the image's, and fit for the rows."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.image_python import put_torch, site_of
from tests.support.own_pip import put_pip
from tests.support.repository import Upstream

Act = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("version", "gpus", "why"),
    [
        ("2.2.2", 1, "torch 2.2.2 is older than 2.3"),
        ("1.13.1+cu117", 1, "older than 2.3"),
        ("2.10.0a0+git", 0, "sees no GPU"),
        ("", 0, "is older"),
    ],
)
def test_a_torch_that_cannot_train_stops_it(
    checkout: Act, image: Path, version: str, gpus: int, why: str, settings: Settings
) -> None:
    put_torch(site_of(image), version, gpus)

    with pytest.raises(Refusal, match=why) as refused:
        checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")

    assert refused.value.kind == "torch"
    assert refused.value.facts["torch"]["version"] == version
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED


def test_no_torch_stops_it_only_where_it_is_required(checkout: Act, image: Path) -> None:
    with pytest.raises(Refusal, match="torch cannot be imported: No module named 'torch'"):
        checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")

    assert checkout(REMOTE_PYTHON_BIN=str(image))["torch"] is None


def test_without_the_requirement_a_torch_is_recorded_as_it_is(checkout: Act, image: Path) -> None:
    put_torch(site_of(image), "2.1.0", 0)

    torch = checkout(REMOTE_PYTHON_BIN=str(image))["torch"]

    assert (torch["version"], torch["cuda"], torch["devices"]) == ("2.1.0", False, [])


@pytest.mark.fault("F7")
def test_a_torch_that_the_install_command_brought_is_refused(
    checkout: Act, image: Path, settings: Settings, tmp_path: Path
) -> None:
    put_torch(site_of(image))
    put_torch(tmp_path / "wheel", "2.9.0", 1)
    install = f"cp -r {tmp_path}/wheel/torch \"$($VENV_PYTHON -c 'import sysconfig;"
    install += 'print(sysconfig.get_path("purelib"))\')"'

    checkout(REMOTE_PYTHON_BIN=str(image))
    put_pip(settings)

    with pytest.raises(Refusal, match="installed into the checkout's environment"):
        checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1", CHECKOUT_INSTALL_CMD=install)


def test_a_torch_of_the_repository_is_not_the_images(
    checkout: Act, image: Path, upstream: Upstream
) -> None:
    upstream.commit("torch.py", "raise SystemExit('not this one')\n")
    put_torch(site_of(image))

    result = checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")

    assert result["torch"]["version"] == "2.6.0+cu124"


def test_torchrun_without_torch_stops_it_where_it_would_be_used(checkout: Act, image: Path) -> None:
    keys = {"REMOTE_PYTHON_BIN": str(image), "TRAIN_LAUNCHER": "torchrun"}
    with pytest.raises(Refusal, match=r"torch cannot be imported: .*, and torchrun needs it") as no:
        checkout(**keys)
    assert no.value.kind == "torch"
    assert checkout(**keys, TRAIN_COMMAND_TEMPLATE="true")["torch"] is None
    assert checkout(**keys, SWEEP_DRY_RUN="1")["torch"] is None


@pytest.mark.torch
def test_a_real_torch_is_seen_through_the_venv(checkout: Act) -> None:
    python = os.environ["WF_TEST_TORCH_PYTHON"]

    torch = checkout(REMOTE_PYTHON_BIN=python)["torch"]

    expected = [python, "-c", "import json, torch; print(json.dumps(torch.__version__))"]
    said = subprocess.run(expected, capture_output=True, check=True)
    assert torch["version"] == json.loads(said.stdout)
    assert not torch["file"].startswith(sysconfig.get_path("purelib"))


def test_a_torch_inside_the_venv_is_refused_without_a_gpu_too(
    checkout: Act, settings: Settings
) -> None:
    checkout()
    put_torch(site_of(Path(settings.repo, ".venv", "bin", "python")), "2.9.0", 0)

    with pytest.raises(Refusal, match="installed into the checkout's environment") as refused:
        checkout()

    assert "VENV_RECREATE=1" in refused.value.remedy


@pytest.mark.slow
@pytest.mark.long
def test_a_torch_that_a_command_replaced_stops_it(checkout: Act, image: Path) -> None:
    site = site_of(image)
    put_torch(site, "2.6.0", 1)
    checkout(REMOTE_PYTHON_BIN=str(image))
    swap = f"sed -i 's/2.6.0/2.9.0/' {site}/torch/__init__.py"

    with pytest.raises(Refusal, match=r"changed torch from 2\.6\.0 to 2\.9\.0") as refused:
        checkout(REMOTE_PYTHON_BIN=str(image), CHECKOUT_POST_CMD=swap)

    assert refused.value.kind == "torch"


def test_fewer_gpus_than_processes_stop_it(checkout: Act, image: Path) -> None:
    put_torch(site_of(image), gpus=2)

    with pytest.raises(Refusal, match="torch sees 2 GPUs, and NPROC_PER_NODE=8"):
        checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1", NPROC_PER_NODE="8")


@pytest.mark.torch
def test_a_real_torch_without_cuda_is_stopped_where_a_gpu_is_required(checkout: Act) -> None:
    keys = {"REMOTE_PYTHON_BIN": os.environ["WF_TEST_TORCH_PYTHON"]}

    torch = checkout(**keys, REQUIRE_GPU_TORCH="0")["torch"]

    if torch["cuda"]:
        pytest.skip("this torch sees a GPU")
    with pytest.raises(Refusal, match="sees no GPU") as refused:
        checkout(**keys, REQUIRE_GPU_TORCH="1")
    assert refused.value.facts["torch"]["version"] == torch["version"]
