"""Pods and disks that fail: what the halt tells leads on when that is mended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hints import halt

ALL = ("--wf-wait=true", "--wf-fetch=all")

pytestmark = pytest.mark.long

#: What an agent does before its own program.
_ENDS = """
import os
import pytest_wf.agent.server.detached as detached
detached.attend = lambda *words: os._exit(9)
"""
_ENDS_BEFORE_THE_CAMPAIGN = """
import os
import pytest_wf.agent.sweep.start_request as start_request
start_request.checked = lambda *words: os._exit(9)
"""
_READS_OTHERWISE = """
import hashlib
import pytest_wf.agent.results.archive as archive
class Other:
    sha256 = staticmethod(lambda *data: hashlib.sha256(b"other"))
archive.hashlib = Other
"""
_LEADS_OUT = """
import pytest_wf.agent.results.listing as listing
contents_of = listing.contents_of
listing.contents_of = lambda root: contents_of(root)._replace(folders=["../up"])
"""
_HAS_NO_LOCKS = """
import errno, fcntl
def flock(*words):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
#: Added to the program that starts the agent on the pod.
_CONFTEST = """\
import pytest_wf.pods.rpc.launch as launch
code = %r
place = "    import zipimport\\n"
launch.LAUNCHER = launch.LAUNCHER.replace(place, f"{place}    exec({code!r}, {{}})\\n")
"""


@pytest.mark.failure("agent-broken", "volume", "digest", "hostile-answer")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("agent-broken", _ENDS),
        ("agent-broken", _ENDS_BEFORE_THE_CAMPAIGN),
        ("volume", _HAS_NO_LOCKS),
        ("digest", _READS_OTHERWISE),
        ("hostile-answer", _LEADS_OUT),
    ],
)
def test_an_agent_that_is_well_again(project: Any, kind: str, code: str) -> None:
    conftest = project.root / "conftest.py"
    conftest.write_text(_CONFTEST % code)
    hint = halt(project, kind, *ALL)
    conftest.write_text("")
    hint.leads_on()


@pytest.mark.failure("apt")
def test_packages_that_can_be_installed_now(project: Any, tmp_path: Path) -> None:
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\nexit 100\n")
    apt.chmod(0o755)
    project.environ = {**project.environ, "PATH": f"{apt.parent}:{project.environ['PATH']}"}
    project.configure(AUTO_INSTALL_PREREQS="1", APT_PACKAGES="not-installed-here")
    hint = halt(project, "apt", *ALL)
    apt.write_text("#!/bin/sh\nexit 0\n")
    hint.leads_on()


@pytest.mark.failure("remote-failed")
def test_a_path_on_the_pod_that_is_corrected(project: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    project.configure(REMOTE_ENV_PATH=str(tmp_path / "file" / "project.env"))
    hint = halt(project, "remote-failed", *ALL)
    project.configure(REMOTE_ENV_PATH=str(tmp_path / "project.env"))
    hint.leads_on()


@pytest.mark.failure("pod-disk", "local-disk")
@pytest.mark.parametrize(
    ("kind", "key"),
    [("pod-disk", "OPS_REMOTE_OUTPUTS_DIR"), ("local-disk", "LOCAL_ARTIFACTS_DIR")],
)
def test_a_disk_that_has_room_again(project: Any, small_disk: Path, kind: str, key: str) -> None:
    project.configure(**{key: str(small_disk / "runs")})
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk / 'full'}", "status=none"], check=False)
    hint = halt(project, kind, *ALL)
    subprocess.run(["mount", "-o", "remount,size=1g", str(small_disk)], check=True)
    hint.leads_on()


@pytest.fixture
def mounted(project: Any) -> Iterator[Path]:
    """The outputs of a project that was trained, as a mount point of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    assert project.flow(*ALL).code == 0
    folder = str(project.outputs)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    yield project.outputs
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.failure("delete")
def test_a_folder_of_the_pod_that_is_no_mount_point_any_more(project: Any, mounted: Path) -> None:
    hint = halt(project, "delete", "--wf-sweep=skip", "--wf-teardown=delete")
    hint.leads_on()
    subprocess.run(["umount", str(mounted)], check=True)
    assert project.flow("--wf-sweep=skip", "--wf-teardown=delete").code == 0
