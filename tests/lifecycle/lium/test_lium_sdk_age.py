"""An SDK that is not there, or is of another age: found by the real lookup, told in one line."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

WF = "from pytest_wf.cli.main import main; main()"


def the_error(shown: subprocess.CompletedProcess[str]) -> str:
    assert shown.returncode == 1
    (line,) = [line for line in shown.stderr.splitlines() if line.startswith("ERROR")]
    assert "Traceback" not in shown.stderr
    return line


@pytest.mark.parametrize("version", ["0.29.3", "0.40.0"])
def test_an_sdk_of_another_age_is_refused_before_it_is_imported(
    lium_project: Callable[..., Any], tmp_path: Path, version: str
) -> None:
    project = lium_project()
    info = tmp_path / "other" / f"lium_io-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lium.io\nVersion: {version}\n")
    (tmp_path / "other" / "lium.py").write_text("raise SystemExit('imported')\n")
    project.environ = {**project.environ, "PYTHONPATH": str(tmp_path / "other")}
    told = the_error(project.wf("pod-list"))
    assert f"lium.io {version} is installed; this release works with 0.30 to 0.39" in told
    assert "pip install 'pytest-wf[lium]'" in told


def test_a_missing_sdk_is_told_with_the_extra_that_brings_it(
    lium_project: Callable[..., Any], tmp_path: Path
) -> None:
    project = lium_project()
    without = tmp_path / "without"
    without.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(folder).iterdir():
            if not path.name.lower().startswith("lium") and path.suffix != ".pth":
                (without / path.name).symlink_to(path)
    root = str(ROOT)
    # -S: no site-packages but those
    told = the_error(
        subprocess.run(
            [sys.executable, "-S", "-c", WF, "pod-list"],
            cwd=project.root,
            env={**project.environ, "PYTHONPATH": f"{without}:{root}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    )
    assert "need the package lium.io, which is not installed" in told
    assert "pip install 'pytest-wf[lium]'" in told
