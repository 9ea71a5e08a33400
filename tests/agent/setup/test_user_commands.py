"""What the user's commands install goes into the checkout's environment, or P50 fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.agent.control import state
from pytest_wf.agent.control.settings import Settings
from pytest_wf.agent.setup import virtualenv
from pytest_wf.wire import fsm
from pytest_wf.wire.messages import Refusal
from tests.support.image_python import make_image, site_of
from tests.support.repository import Upstream
from tests.support.wheels import put, wheel

pytestmark = pytest.mark.slow

Act = Callable[..., dict[str, Any]]
HAS = "2.3.0+cu121"


@pytest.fixture
def index(tmp_path: Path) -> str:
    """Options of pip and uv for an index of small packages, with two versions of torch."""
    folder = tmp_path / "index"
    for name, version, needs in (
        ("torch", "2.3.0", ()),
        ("torch", "2.9.0", ()),
        ("books", "1.0", ("torch>=2",)),
        ("books", "2.0", ("torch>=2",)),
        ("newbooks", "1.0", ("torch>=2.8",)),
        ("paper", "1.0", ()),
    ):
        wheel(folder, name, version, needs)
    return f"--no-index --find-links {folder}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's python, which has a torch that no index has."""
    python = make_image(tmp_path / "image")
    site = site_of(python)
    put(wheel(tmp_path / "wheels", "torch", HAS), site)
    (site / "torch" / "__init__.py").write_text(
        f"__version__ = {HAS!r}\nclass cuda:\n    is_available = staticmethod(lambda: False)\n"
    )
    return python


@pytest.fixture
def install(
    act: Act, upstream: Upstream, settings: Settings, image: Path, monkeypatch: pytest.MonkeyPatch
) -> Act:
    """Checks out on the image with an install command."""
    state.reset(settings, fsm.BOOTSTRAPPED, "for the test")
    for name in ("PIP_CONSTRAINT", "UV_CONSTRAINT", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)

    def run(command: str, **keys: str) -> dict[str, Any]:
        known = {"REPO_URL": str(upstream.path), "REMOTE_PYTHON_BIN": str(image)}
        return act("checkout", keys={**known, "CHECKOUT_INSTALL_CMD": command, **keys})

    return run


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the pod have uv."""
    found = Path(pytest.importorskip("uv").find_uv_bin())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(found)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}", prepend=":")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))


def own(settings: Settings) -> set[str]:
    """The packages in the environment itself, without what came with it."""
    site = Path(virtualenv.site_packages(str(Path(settings.repo, ".venv"))))
    names = {path.name.rpartition(".")[0] for path in site.glob("*.dist-info")}
    return {name for name in names if name.partition("-")[0] not in ("pip", "setuptools", "torch")}


@pytest.mark.fault("F7")
def test_pip_uses_the_images_torch_and_keeps_the_users_own_constraints(
    install: Act, index: str, settings: Settings, image: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "mine.txt").write_text("books<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "mine.txt"))

    result = install(f"pip install {index} books 'torch>=2.1' paper && pip uninstall -y paper")

    assert own(settings) == {"books-1.0"}
    assert result["installation"].pop("seconds") > 0
    assert result["installation"] == {"added": 1, "changed": 0, "removed": 0, "of_torch": []}
    assert result["torch"]["version"] == HAS
    assert result["torch"]["file"].startswith(str(image.parents[1]))
    with pytest.raises(Refusal, match=r"the image has torch 2\.3\.0\+cu121: ") as refused:
        install(f"pip install -q {index} newbooks")
    assert refused.value.kind == "torch"
    assert "newbooks 1.0 depends on torch>=2.8" in refused.value.message
    assert "--no-deps" in refused.value.remedy
    with pytest.raises(Refusal, match=r"The user requested torch==2\.9\.0"):
        install(f"pip install {index} torch==2.9.0")
    assert own(settings) == {"books-1.0"}


@pytest.mark.fault("F7")
@pytest.mark.long
def test_uv_uses_the_images_torch_as_well(
    install: Act, index: str, uv: None, settings: Settings, image: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")

    result = install(f"uv pip install {index} books 'torch>=2.1'")

    assert own(settings) == {"books-2.0"}
    assert (result["installation"]["added"], result["installation"]["of_torch"]) == (1, [])
    assert result["torch"]["file"].startswith(str(image.parents[1]))
    assert f"torch=={HAS}" in result["packages"]
    with pytest.raises(Refusal, match=r"the image has torch 2\.3\.0\+cu121: ") as refused:
        install(f"uv pip install {index} newbooks")
    assert refused.value.kind == "torch"
    assert "torch>=2.8" in refused.value.message
    assert result["torch"] == install(f"uv pip install {index} paper")["torch"]


@pytest.mark.long
def test_no_torch_is_installed_where_the_image_has_none(
    install: Act, index: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match="the image has no torch: ") as refused:
        install(f"pip install {index} books", REMOTE_PYTHON_BIN=str(make_image(tmp_path / "bare")))

    assert refused.value.kind == "torch"
    assert "point REMOTE_PYTHON_BIN at the Python that has it" in refused.value.remedy


@pytest.mark.long
def test_nothing_of_the_login_leads_an_installation_elsewhere(
    install: Act, index: str, uv: None, settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    away = tmp_path / "away"
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONUSERBASE", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, str(away))
    for name in ("PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_DRY_RUN"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("UV_PYTHON", sys.executable)
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "mine.txt").write_text("books<2\n")
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text("[pip]\nsystem = true\n")
    (tmp_path / "config" / "pip").mkdir(parents=True)
    (tmp_path / "config" / "pip" / "pip.conf").write_text(
        f"[global]\nuser = yes\nconstraint = {tmp_path}/mine.txt\n[install]\ntarget = {away}\n"
    )

    install(f"pip install {index} books && uv pip install {index} paper")

    assert own(settings) == {"books-1.0", "paper-1.0"}
    assert not away.exists()


@pytest.mark.long
def test_an_installer_that_is_led_elsewhere_all_the_same_is_refused(
    install: Act, index: str, uv: None, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "pip.conf").write_text(f"[install]\ntarget = {tmp_path}/away\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))

    for key in ("CHECKOUT_INSTALL_CMD", "CHECKOUT_POST_CMD"):
        with pytest.raises(Refusal, match="pip does not install into") as refused:
            install("", **{key: f"pip install {index} paper"})
        assert refused.value.kind == "venv"
        assert "pip config debug" in refused.value.remedy
    monkeypatch.delenv("PIP_CONFIG_FILE")
    (tmp_path / "uv.toml").write_text(f'[pip]\ntarget = "{tmp_path}/away"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    with pytest.raises(Refusal, match="uv does not install into"):
        install(f"uv pip install {index} paper")
    assert not (tmp_path / "away" / "paper").exists()


@pytest.mark.long
def test_a_bashrc_that_puts_another_pip_first_is_not_read_over_ssh_either(
    install: Act, index: str, settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    pip = tmp_path / "other" / "pip"
    pip.parent.mkdir()
    pip.write_text("#!/bin/sh\nexit 7\n")
    pip.chmod(0o755)
    (tmp_path / ".bashrc").write_text(f"PATH={pip.parent}:$PATH\n")
    # Debian's bash reads it for `bash -c` where sshd is all that there is above it
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_CLIENT", "192.0.2.1 1 22")
    monkeypatch.delenv("SHLVL", raising=False)

    install(f"pip install {index} paper")

    assert own(settings) == {"paper-1.0"}


@pytest.mark.long
def test_a_trial_that_is_in_the_image_is_no_reason_to_refuse(
    install: Act, index: str, settings: Settings, image: Path
) -> None:
    left = site_of(image) / "wf_install_trial-1.dist-info"
    left.mkdir()
    (left / "METADATA").write_text("Metadata-Version: 2.1\nName: wf-install-trial\nVersion: 1\n")
    (left / "RECORD").write_text("")

    install(f"pip install {index} paper")

    assert own(settings) == {"paper-1.0"}


@pytest.mark.long
def test_what_a_command_put_elsewhere_is_named(
    install: Act, index: str, image: Path, tmp_path: Path
) -> None:
    site, away = site_of(image), tmp_path / "away"
    wheel(tmp_path / "wheels", "paper", "1.0")
    for command in (
        f"pip install --target {away} {index} paper",
        f"{sys.executable} -m pip install --root {away} {index} paper",
        f"python -m zipfile -e {tmp_path}/wheels/paper-1.0-py3-none-any.whl {site}",
    ):
        with pytest.raises(Refusal, match=r"packages elsewhere than in .*: paper \(") as refused:
            install(command)
        assert refused.value.kind == "venv"
        assert list(refused.value.facts["elsewhere"]) == ["paper"]


@pytest.mark.long
def test_the_images_pip_is_used_where_python_has_none_to_install(
    install: Act, index: str, settings: Settings, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase "$* " in\n*"-m venv --system-site-packages -- "*) exit 1;;\nesac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)

    install(f"pip install {index} paper", REMOTE_PYTHON_BIN=str(python))

    assert own(settings) == {"paper-1.0"}
