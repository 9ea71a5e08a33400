"""A controller with little: few file descriptors, no HOME, no place for temporary files."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from typing import Any

import pytest

FLOW = (sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true", "--wf-fetch=all")


def _flow(project: Any, *argv: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
    env = {name: text for name, text in {**project.environ, **environ}.items() if text is not None}
    return subprocess.run(
        [*argv, *FLOW], cwd=project.root, env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.fault("C9")
def test_without_a_home_and_under_the_c_locale_a_flow_passes(project: Any) -> None:
    done = _flow(project, HOME=None, LANG="C", LC_ALL="C", USER=None, LOGNAME=None)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.fault("C9")
@pytest.mark.parametrize(
    "limit", [64, *(pytest.param(n, marks=pytest.mark.long) for n in (24, 16))]
)
def test_with_few_file_descriptors_a_flow_passes_or_says_so(project: Any, limit: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = _flow(project, shutil.which("prlimit") or "prlimit", f"--nofile={limit}:{limit}")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    told = done.stdout + done.stderr
    if limit == 64:
        assert done.returncode == 0, told
    elif done.returncode:
        assert "Too many open files" in told
        assert "Traceback" not in told


@pytest.mark.fault("C9")
def test_without_a_place_for_temporary_files_a_flow_passes_or_says_so(project: Any) -> None:
    nowhere = "for d in /var/tmp /dev/shm; do mount -t tmpfs -o ro none $d; done"
    keep = f"mount --bind '{project.root.parent}' '{project.root.parent}'"
    read_only = "mount -o remount,bind,ro /tmp"
    script = f'{nowhere}; mount --rbind /tmp /tmp; {keep}; {read_only}; exec "$@"'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh"]
    if subprocess.run([*argv, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets a test make no mount namespace")
    done = _flow(project, *argv, TMPDIR=None)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told


def test_a_shell_that_ignores_the_end_of_processes_makes_no_failure_a_success(project: Any) -> None:
    auditor = project.root.parent / "auditor.sh"
    auditor.write_text(
        "cat > /dev/null\n"
        """echo '{"verdict":"pass","violated_laws":[],"evidence_refs":[],"remediation":""}'\n"""
        "exit 3\n"
    )
    project.configure(WF_SUBAGENT_VALIDATOR_CMD=f"sh {auditor}")
    done = _flow(project, "bash", "-c", "trap '' CHLD; exec \"$@\"", "bash")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the auditor ended with status 3" in done.stdout
