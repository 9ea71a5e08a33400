"""What a halt or a refusal tells its user to do next, and doing it."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.flow_project import Project

_DEADLINE_S = 120
#: Files of the trainer, wherever a run was moved or fetched to.
_RESULTS = ("argv.json", "metrics.jsonl")


@dataclass
class Hint:
    """A failure's kind and text, and the command that the product names next."""

    project: Project
    kind: str
    text: str
    command: str

    def leads_on(self, exit_code: int = 0) -> str:
        """Run the command as it is written; its output.

        It ends with `exit_code` and not in the same kind of failure, and every result that was
        there is still there.
        """
        before = results(self.project, good=True)
        flows = _flows(self.project)
        done = _run(self.project, self.command)
        shown = f"{self.kind}: {self.text}\n$ {self.command}\n{done.stdout}"
        assert done.returncode == exit_code, shown
        assert not before - results(self.project), f"results were lost\n{shown}"
        for folder in _flows(self.project) - flows:
            summary = json.loads((folder / "flow.summary.json").read_text())
            assert summary["failure_kind"] != self.kind, shown
        return done.stdout


def halt(project: Project, kind: str, *words: str) -> Hint:
    """Run a flow that ends with `kind`; what its verdict says."""
    return halted(project, kind, project.flow(*words))


def halted(project: Project, kind: str, flown: Any) -> Hint:
    """What the verdict of a flow that ended with `kind` says; the terminal says the same."""
    summary = flown.record("flow.summary")
    assert summary["failure_kind"] == kind, flown.output
    phase = summary["failed_phase"]
    verdict = flown.record(f"phase.{phase}.verdict")
    command = verdict["suggested_next_command"]
    assert f"next: {command}" in flown.output
    assert _on_the_page(command) in (project.root / "reports" / "report.html").read_text()
    return Hint(project, kind, verdict["halt_reason"], command)


def refused(project: Project, kind: str, *words: str) -> Hint:
    """Run a `wf` command that is refused with `kind`, or any where it is ''.

    The hint's command is the first that the remedy names.
    """
    done = project.wf(*words, "--json")
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert kind in ("", error["kind"]), done.stdout + done.stderr
    named = re.search(r"`((?:wf|pytest) [^`]+)`", error["next"])
    return Hint(
        project, error["kind"], f"{error['message']} {error['next']}", named[1] if named else ""
    )


def results(project: Project, *, good: bool = False) -> set[str]:
    """The digests of all results on the pod and on this machine; of `good` runs alone."""
    found = set()
    for folder in (project.outputs, project.root / "reports" / "runs"):
        for name in _RESULTS:
            for path in folder.rglob(f"out/{name}"):
                summary = path.parent.parent / "summary.json"
                if not good or (summary.exists() and '"success"' in summary.read_text()):
                    found.add(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return found


def _run(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a user would, from the project's directory."""
    folder = project.root.parent / "bin-of-hints"
    folder.mkdir(exist_ok=True)
    for name, words in {
        "pytest": "-m pytest",
        "wf": "-c 'from pytest_wf.cli.main import main; main()'",
    }.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(0o755)
    return subprocess.run(
        command,
        shell=True,
        cwd=project.root,
        env={**project.environ, "PATH": f"{folder}{os.pathsep}{project.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
    )


def _flows(project: Project) -> set[Path]:
    folder = project.root / "reports" / "flows"
    return set(folder.iterdir()) if folder.is_dir() else set()


def _on_the_page(command: str) -> str:
    """`command` as Jinja escapes it."""
    return html.escape(command).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
