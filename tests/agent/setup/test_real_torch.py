"""The contract on torch, with real ones: of the image, in the checkout's venv, too old."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal

pytestmark = [pytest.mark.torch, pytest.mark.slow]

Act = Callable[..., dict[str, Any]]

_PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"


def said_by(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "how",
    [
        "cp -al {0}/torch* {1} 2>/dev/null || cp -a {0}/torch* {1}",
        pytest.param("cp -as {0}/torch* {1}", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_a_real_torch_that_the_install_command_put_into_the_venv_stops_it(
    checkout: Act, settings: Settings, how: str
) -> None:
    image = os.environ["WF_TEST_TORCH_PYTHON"]
    into = f'"$("$VENV_PYTHON" -c "{_PURELIB}")"'
    keys = {
        "REMOTE_PYTHON_BIN": image,
        # as pip installs it, and as uv does where it links to its cache
        "CHECKOUT_INSTALL_CMD": how.format(said_by(image, "-c", _PURELIB), into),
    }

    with pytest.raises(Refusal, match="was installed into the checkout's environment") as refused:
        checkout(**keys)

    version = said_by(image, "-c", "import torch; print(torch.__version__)")
    assert refused.value.kind == "torch"
    assert refused.value.message.startswith(f"torch {version} ")
    assert refused.value.facts["torch"]["file"].startswith(f"{settings.repo}/.venv/")
    assert "CHECKOUT_INSTALL_CMD" in refused.value.remedy
    assert "VENV_RECREATE=1" in refused.value.remedy
    assert state.read_state(settings).state == fsm.BOOTSTRAPPED
    assert checkout(REMOTE_PYTHON_BIN=image, VENV_RECREATE="1")["torch"]["version"] == version


@pytest.mark.skipif(
    not os.environ.get("WF_TEST_OLD_TORCH"),
    reason="not shown here, a real torch that is too old: scripts/old-torch.sh found none",
)
@pytest.mark.long
def test_a_real_torch_that_is_too_old_stops_it_where_a_gpu_is_required(
    checkout: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Path(os.environ["WF_TEST_OLD_TORCH"])
    monkeypatch.setenv("LD_LIBRARY_PATH", (old / "libraries").read_text().strip())
    image = tmp_path / "image" / "bin" / "python"
    said_by("/usr/bin/python3", "-m", "venv", "--without-pip", str(image.parents[1]))
    site = Path(said_by(str(image), "-c", _PURELIB))
    for package in (old / "root" / "usr" / "lib" / "python3" / "dist-packages").iterdir():
        (site / package.name).symlink_to(package)

    torch = checkout(REMOTE_PYTHON_BIN=str(image))["torch"]

    assert torch["version"] == said_by(str(image), "-c", "import torch; print(torch.__version__)")
    with pytest.raises(Refusal, match=rf"torch {torch['version']} is older than 2\.3") as refused:
        checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")
    assert refused.value.kind == "torch"
    assert "REMOTE_PYTHON_BIN" in refused.value.remedy
