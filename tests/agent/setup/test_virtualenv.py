"""The checkout's virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control.settings import Settings
from pytest_wf.wire.messages import Refusal
from tests.support.image_python import put_torch, site_of
from tests.support.own_pip import put_pip
from tests.support.repository import Upstream
from tests.support.wheels import put, wheel

Act = Callable[..., dict[str, Any]]


def test_the_venv_sees_the_packages_of_a_python_that_is_in_a_venv_itself(
    checkout: Act, image: Path
) -> None:
    put_torch(site_of(image))

    result = checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")

    torch = result["torch"]
    assert torch["version"] == "2.6.0+cu124"
    assert torch["cuda"] is True
    assert torch["devices"] == ["NVIDIA H100", "NVIDIA H100"]
    assert torch["file"].startswith(str(site_of(image)))


def test_the_venv_sees_what_is_installed_editable_in_a_venv(
    checkout: Act, image: Path, tmp_path: Path
) -> None:
    put_torch(tmp_path / "it's sources")
    (site_of(image) / "__editable__.torch.pth").write_text(f"{tmp_path}/it's sources\n")

    result = checkout(REMOTE_PYTHON_BIN=str(image), REQUIRE_GPU_TORCH="1")

    assert result["torch"]["file"].startswith(f"{tmp_path}/it's sources")


def test_the_venv_is_kept_out_of_gits_sight_and_kept_between_checkouts(
    checkout: Act, settings: Settings
) -> None:
    checkout()
    made = Path(settings.repo, ".venv", "pyvenv.cfg").stat()

    result = checkout()

    assert Path(settings.repo, ".venv", "pyvenv.cfg").stat().st_ino == made.st_ino
    status = ["git", "-C", settings.repo, "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, check=True).stdout == b""
    assert result["python"].split(".")[:2] == [str(n) for n in sys.version_info[:2]]


@pytest.mark.slow
@pytest.mark.long
def test_pip_is_added_when_a_command_may_need_it(checkout: Act, settings: Settings) -> None:
    checkout()
    assert not Path(settings.repo, ".venv", "bin", "pip").exists()

    checkout(CHECKOUT_POST_CMD="pip --version > post")

    said = Path(settings.repo, "post").read_text()
    assert f"{settings.repo}/.venv/" in said


@pytest.mark.slow
@pytest.mark.long
def test_a_pip_of_another_environment_is_replaced_or_nothing_is_installed(
    checkout: Act, settings: Settings
) -> None:
    command = "pip --version > said; pip3 --version >> said"
    said = Path(settings.repo, "said")
    checkout()
    put_pip(settings, sys.executable)

    checkout(CHECKOUT_INSTALL_CMD=command)

    assert [f"{settings.repo}/.venv/" in line for line in said.read_text().splitlines()] == [
        True
    ] * 2
    said.unlink()
    (site_of(settings.venv_python) / "mine.py").touch()
    put_pip(settings, sys.executable)  # pip itself is there now, and is not installed again
    with pytest.raises(Refusal, match=r"no pip and no pip3 of its own") as refused:
        checkout(CHECKOUT_INSTALL_CMD=command + " ")
    assert (refused.value.kind, "VENV_RECREATE=1" in refused.value.remedy) == ("venv", True)
    assert not said.exists()


def test_it_is_made_anew_when_asked(checkout: Act, settings: Settings) -> None:
    checkout()
    mark = Path(settings.repo, ".venv", "mark")
    mark.touch()

    checkout(VENV_RECREATE="1")

    assert not mark.exists()


@pytest.mark.fault("F7")
def test_a_venv_of_another_python_that_holds_something_is_refused_with_what_it_holds(
    checkout: Act, image: Path, settings: Settings, tmp_path: Path
) -> None:
    checkout()
    put(wheel(tmp_path, "books", "1.0"), site_of(settings.venv_python))

    with pytest.raises(Refusal, match=r"it was made from .*\. It holds books 1\.0$") as refused:
        checkout(REMOTE_PYTHON_BIN=str(image))

    assert refused.value.kind == "venv"
    assert "VENV_RECREATE=1" in refused.value.remedy
    assert checkout(REMOTE_PYTHON_BIN=str(image), VENV_RECREATE="1")["git_sha"]


@pytest.mark.fault("F7")
def test_a_venv_that_nothing_was_installed_into_is_made_anew(
    checkout: Act, image: Path, settings: Settings
) -> None:
    with pytest.raises(Refusal, match="torch cannot be imported") as refused:
        checkout(REQUIRE_GPU_TORCH="1")
    assert "point REMOTE_PYTHON_BIN at its python" in refused.value.remedy
    put_torch(site_of(image))

    torch = checkout(REQUIRE_GPU_TORCH="1", REMOTE_PYTHON_BIN=str(image))["torch"]

    assert torch["version"] == "2.6.0+cu124"
    Path(settings.venv_python).unlink()
    assert checkout(REMOTE_PYTHON_BIN=str(image))["torch"] == torch


@pytest.mark.fault("F7")
def test_a_venv_that_is_broken_or_not_ours_is_refused(checkout: Act, settings: Settings) -> None:
    checkout()
    record = Path(settings.repo, ".venv", "made.json")
    kept = record.read_text()
    record.unlink()
    for recreate in ("0", "1"):
        with pytest.raises(Refusal, match="pytest-wf did not make it") as refused:
            checkout(VENV_RECREATE=recreate)
        assert refused.value.remedy.startswith("Move it away")
    record.write_text(kept)
    (site_of(settings.venv_python) / "mine.py").touch()
    Path(settings.repo, ".venv", "bin", "python").unlink()
    with pytest.raises(Refusal, match=r"does not run any more\. It holds lib/.*/mine\.py"):
        checkout()


@pytest.mark.fault("F7")
@pytest.mark.parametrize("gone", ["pyvenv.cfg", "lib"])
def test_a_venv_that_was_half_removed_is_made_anew(
    checkout: Act, settings: Settings, gone: str
) -> None:
    checkout()
    where = Path(settings.repo, ".venv")
    shutil.rmtree(where / gone) if gone == "lib" else (where / gone).unlink()

    checkout()

    assert site_of(settings.venv_python) == next(where.glob("lib/*/site-packages"))


def test_what_is_no_venv_is_never_removed(checkout: Act, settings: Settings) -> None:
    checkout()
    where = Path(settings.repo, ".venv")
    where.rename(where.with_name("elsewhere"))
    where.symlink_to("elsewhere")

    with pytest.raises(Refusal, match="pytest-wf did not make it"):
        checkout(VENV_RECREATE="1")

    assert (Path(settings.repo) / "elsewhere" / "pyvenv.cfg").exists()


def test_a_python_that_does_not_run_is_named(checkout: Act) -> None:
    with pytest.raises(Refusal, match='REMOTE_PYTHON_BIN="/no/such/python" does not run'):
        checkout(REMOTE_PYTHON_BIN="/no/such/python")


@pytest.mark.slow
def test_an_installation_is_skipped_until_something_that_it_depends_on_changes(
    checkout: Act, settings: Settings, upstream: Upstream
) -> None:
    repo = Path(settings.repo)
    checkout()
    put_pip(settings)
    (repo / "extra.txt").write_text("one\n")
    command = {"CHECKOUT_INSTALL_CMD": "cat extra.txt; echo x >> runs; touch requirements.txt"}

    def runs(**keys: str) -> int:
        told = checkout(**{**command, **keys})
        assert told["installed"] is not told["install_skipped"]
        return len((repo / "runs").read_text().split())

    assert (runs(), runs()) == (1, 1)
    (repo / "extra.txt").write_text("two\n")
    assert runs() == 2
    upstream.commit("train.py", "print('new')\n")
    assert runs() == 3
    assert runs(CHECKOUT_INSTALL_CMD=command["CHECKOUT_INSTALL_CMD"] + " ") == 4
    found = site_of(repo / ".venv" / "bin" / "python") / "books-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: books\nVersion: 1.0\n")
    told = checkout(**command)
    assert told["installed"] is True
    assert "books==1.0" in told["packages"]


def test_a_failed_installation_is_run_again(checkout: Act, settings: Settings) -> None:
    checkout()
    put_pip(settings)
    for _ in range(2):
        with pytest.raises(Refusal, match="exit status 1"):
            checkout(CHECKOUT_INSTALL_CMD="false")


@pytest.mark.slow
@pytest.mark.long
def test_the_packages_are_those_that_pip_freeze_tells(checkout: Act, settings: Settings) -> None:
    told = checkout(CHECKOUT_POST_CMD="pip freeze --all > frozen", REMOTE_PYTHON_BIN=sys.executable)

    frozen = Path(settings.repo, "frozen").read_text().splitlines()
    named = {line for line in frozen if "==" in line and not line.startswith("#")}
    assert named
    assert {line.lower() for line in named} <= {line.lower() for line in told["packages"]}
