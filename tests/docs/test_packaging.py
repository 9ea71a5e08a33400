"""What is published: a wheel and a source distribution that the usual checkers accept."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_wf import __version__
from tests.support import ROOT

pytestmark = pytest.mark.slow

#: Most bytes of the wheel, the documentation included.
MAX_WHEEL = 1_500_000
#: What pyroma asks for and this project has no answer to: it names no mail address, and is on no
#: forge whose address could be in the package.
UNANSWERED = ("author-email", "'url' field")


def run(*words: str | Path, **environ: str) -> str:
    """Run a module of this Python; its output."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both files, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    run("build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel, which was built from the source distribution."""
    (found,) = dist.glob(f"pytest_wf-{__version__}-py3-none-any.whl")
    return found


def test_both_files_are_what_an_index_accepts(dist: Path) -> None:
    run("twine", "check", "--strict", *dist.iterdir())


def test_the_wheel_holds_the_package_and_nothing_twice(wheel: Path) -> None:
    run("check_wheel_contents", wheel)
    assert wheel.stat().st_size < MAX_WHEEL


def test_the_metadata_is_complete(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    said = run("pyroma", "--min=8", source)
    missing = [line for line in said.splitlines() if line.startswith("Your package")]
    assert [line for line in missing if not any(word in line for word in UNANSWERED)] == []


def test_the_documentation_is_in_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = "from pytest_wf.cli.main import main; import sys; sys.argv[1:] = ['docs']; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    pages = {
        path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")
    }
    assert {line.split()[0] for line in done.stdout.splitlines()[:-1]} == set(map(str, pages))
