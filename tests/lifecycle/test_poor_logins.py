"""Whole flows through logins that leave little: another python, no place to run or write in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_wf.testing import TRAINER
from tests.support.logins import Login
from tests.support.sshd import Sshd

ALL = ("--wf-wait=true", "--wf-fetch=all")

#: Prints a title, and puts a python that prints in front, as an activated environment does.
ACTIVATED = r"""
printf '\033]0;gpu1\007'
mkdir -p $HOME/base
printf '#!/bin/sh\necho base\nexec /usr/bin/python3 "$@"\n' > $HOME/base/python3
chmod +x $HOME/base/python3
export PATH=$HOME/base:$PATH PYTHONPATH=$HOME/modules
umask 027
"""
TELLS = "import os\nprint('PYTHONPATH', os.environ['PYTHONPATH'])\n"


def through(project: Any, server: Sshd) -> Any:
    """`project`, on a pod behind `server`."""
    pod = project.root.parent / "pod"
    pod.mkdir()
    project.outputs = pod / "outputs"
    project.configure(
        OPS_DEFAULT_HOST=f"{server.user}@{server.host}:{server.port}",
        SSH_IDENTITY_FILE=str(server.identity_file),
        SSH_KNOWN_HOSTS=str(server.known_hosts_file),
        OPS_REMOTE_REPO=str(pod / "repo"),
        OPS_REMOTE_OUTPUTS_DIR=str(pod / "outputs"),
        REMOTE_ENV_PATH=str(pod / "project.env"),
    )
    return project


def test_a_trainer_gets_what_the_login_exports(
    new_project: Callable[..., Any], make_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    login = Login(tmp_path / "host", make_sshd, start_up=ACTIVATED)
    remote = through(new_project(trainer=TELLS + TRAINER), login.server)
    flown = remote.flow(*ALL)
    assert flown.code == 0, flown.output
    log = remote.outputs / "one" / "stdout.log"
    assert f"PYTHONPATH {login.home}/modules\n" in log.read_text()
    assert (remote.outputs / "one" / "out" / "metrics.jsonl").stat().st_mode & 0o777 == 0o640


MOUNTED = {
    "runs no programs": "remount,bind,noexec",
    "is read-only but for the pod's folders": "remount,bind,ro",
}


@pytest.mark.long
@pytest.mark.parametrize("options", MOUNTED.values(), ids=MOUNTED)
def test_where_the_file_system_allows_little_a_flow_passes(
    project: Any, make_sshd: Callable[..., Sshd], tmp_path: Path, options: str
) -> None:
    pod = tmp_path / "pod"
    mounts = f"mount --rbind /tmp /tmp; mount --rbind '{tmp_path}' '{tmp_path}'"
    keep = f"mount --bind '{pod}' '{pod}'; mount -o remount,bind,rw '{pod}'"
    limit = f"mount -o {options} /tmp; mount -o {options} '{tmp_path}'"
    noexec = f"mount -o {options} '{pod}'" if "noexec" in options else ":"
    script = f'{mounts}; {keep}; {limit}; {noexec}; exec "$@"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh"]
    if not shutil.which("unshare") or subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("this machine lets a test make no mount namespace")
    server = make_sshd(f"SetEnv SHLVL=2 HOME={tmp_path}")
    remote = through(project, server)
    server.stop()
    server.inside = inside
    server.start()
    flown = remote.flow(*ALL)
    assert flown.code == 0, flown.output
