"""What a power loss could cost: files are flushed before they get their names, folders behind it.

The exceptions are those of the table in docs/explanation/architecture.md.

The order of system calls stands in for the loss itself, which no machine of tests can have.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_RENAME = re.compile(r"rename(?:at2?)?\((.*?)(?:, (?:0|RENAME_\w+))?\)? +(?:= 0|<unfinished)")
_NAME = re.compile(r'(?:AT_FDCWD<([^>]*)>, |\d+<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_SYNC = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>")
#: What is drawn or compiled again, views of the evidence and caches; what git writes itself; and
#: the second name of a log, which it gets while it is empty.
_MADE_AGAIN = re.compile(
    r"/reports/(allure-results/|junit\.xml)|/\.pytest_cache|/\.git/|/_control/agent/"
    r"|/(one|two)/stdout\.log$"
)
#: Flushed with the next verdict, summary or other flushed file of their folder, under their name.
_FLUSHED_LATER = re.compile(
    r"/flows/f-[^/]+/(phase\.P\d\d\.(evidence|deterministic|constitutional)\.json"
    r"|workflow\.env|.+\.csv|.+\.log|pip-freeze\.txt|fetched\..+\.json|provenance\.intoto\.json)$"
)
#: What only a living process needs, or can write again.
_NEVER_FLUSHED = re.compile(r"/outputs/\w+/(attempts/\d+/)?(command\.sh|status\.json)$")
_WITHOUT_FOLDER = re.compile(r"/checklist\.md$")


def _paths(words: str) -> list[str]:
    """The absolute paths among the arguments of a rename."""
    return [str(Path(cwd or folder or "/", name)) for cwd, folder, name in _NAME.findall(words)]


def unsafe_renames(trace: list[str], root: Path) -> list[str]:
    """Renames below `root` of a file that was not flushed, or into a folder that was not after."""
    synced: set[str] = set()
    waiting: dict[str, str] = {}
    later: set[str] = set()
    unsafe = []
    for line in trace:
        if found := _SYNC.search(line):
            synced.add(found[1])
            later.discard(found[1])
            waiting.pop(found[1], None)
        elif found := _RENAME.search(line):
            source, target = _paths(found[1])
            if not target.startswith(str(root)) or _MADE_AGAIN.search(target):
                continue
            if _NEVER_FLUSHED.search(target):
                continue
            if _FLUSHED_LATER.search(target):
                later.add(target)
                continue
            folder = str(Path(target).parent)
            missed = {path for path in later if str(Path(path).parent) == folder}
            unsafe += [f"{path}: not flushed before {target}" for path in sorted(missed)]
            later -= missed
            if source not in synced and not Path(target).is_symlink():
                unsafe.append(f"{target}: not flushed before")
            if not _WITHOUT_FOLDER.search(target):
                waiting[folder] = target
    unsafe += [f"{path}: never flushed" for path in sorted(later)]
    return unsafe + [f"{target}: its folder was not flushed" for target in waiting.values()]


@pytest.mark.fault("C3")
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_every_file_of_a_flow_is_flushed_before_and_its_folder_after_it_gets_its_name(
    project: Any, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    calls = "rename,renameat,renameat2,fsync,fdatasync"
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", f"trace={calls}"]
    flow = [sys.executable, "-m", "pytest", "flows/", "--wf-flow", "--wf-wait=true"]
    done = subprocess.run(
        [*strace, "-o", str(trace), *flow, "--wf-fetch=all"],
        cwd=project.root,
        env=project.environ,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = trace.read_text(errors="replace").splitlines()
    assert unsafe_renames(lines, project.root) == []
    for run_id in ("one", "two"):
        log = project.outputs / run_id / "attempts" / "1" / "stdout.log"
        assert any("fsync" in line and str(log) in line for line in lines)
    assert sum("rename" in line for line in lines) > 50, "the trace has what a flow writes"
