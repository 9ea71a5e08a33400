"""Whole flows in a project of their own, run by real pytest."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.waiting import until

#: Ends what would never end; the time limit of a test mostly does that before.
_DEADLINE_S = 500


class FlowRun:
    """One `pytest flows/ --wf-flow` in a project: started, waited for, looked at."""

    def __init__(
        self,
        root: Path,
        words: Sequence[str],
        environ: Mapping[str, str],
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self.root = root
        self.words = words
        self.process = subprocess.Popen(
            [*python, "-m", "pytest", "flows/", "--wf-flow", *words],
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.output = ""

    def wait(self) -> FlowRun:
        """Wait for its end; the output is kept."""
        self.output += self.process.communicate(timeout=_DEADLINE_S)[0]
        return self

    def wait_until_said(self, text: str) -> None:
        """Wait until it has printed `text`; fails where it ends without."""
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()

        def is_said() -> bool:
            if select.select([fd], [], [], 0)[0]:
                piece = os.read(fd, 1 << 16)
                self.output += piece.decode(errors="replace")
                assert piece or text in self.output, self.output
            return text in self.output

        until(is_said, f"the flow says {text!r}", _DEADLINE_S)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.wait()

    @property
    def code(self) -> int:
        assert self.process.returncode is not None
        return self.process.returncode

    @property
    def folder(self) -> Path:
        """The evidence of the newest flow."""
        return max((self.root / "reports" / "flows").iterdir(), key=lambda p: p.stat().st_mtime)

    def record(self, name: str) -> dict[str, Any]:
        """A record of the flow, such as 'flow.summary' or 'phase.P40.verdict'."""
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found

    def line(self, beginning: str) -> str:
        """The first line of the output that begins so."""
        return next(line for line in self.output.splitlines() if line.startswith(beginning))


class TerminalRun(FlowRun):
    """The same on a terminal of its own; the output is what was written to it, without colours."""

    def __init__(self, root: Path, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self.root = root
        self.words = words
        self.output = ""
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "flows/", "--wf-flow", *words],
            cwd=root,
            env={**environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            text=True,
            start_new_session=True,
        )
        os.close(theirs)

    def wait(self) -> FlowRun:
        """Read to its end, and wait for it."""
        pieces = []
        with suppress(OSError):  # the last one who had it open has closed it
            while piece := os.read(self._ours, 1 << 16):
                pieces.append(piece)
        os.close(self._ours)
        self.process.wait(timeout=_DEADLINE_S)
        told = b"".join(pieces).decode(errors="replace").replace("\r\n", "\n")
        self.output = re.sub(r"\x1b\[[0-9;?]*m", "", told)
        return self


class Project:
    """A project in a folder of its own, and the flows that were run in it."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ
        self.outputs = root / ".wf" / "pod" / "outputs"
        self.runs: list[FlowRun] = []

    def start(self, *words: str) -> FlowRun:
        """Start a flow and come back."""
        run = FlowRun(self.root, words, self.environ)
        self.runs.append(run)
        return run

    def flow(self, *words: str) -> FlowRun:
        """Run a flow to its end."""
        return self.start(*words).wait()

    def flow_on_terminal(self, *words: str) -> FlowRun:
        """Run a flow to its end on a terminal."""
        run = TerminalRun(self.root, words, self.environ)
        self.runs.append(run)
        return run.wait()

    def wf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a `wf` command in the project."""
        process = self.start_wf(*words)
        try:
            out, err = process.communicate(timeout=_DEADLINE_S)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start_wf(self, *words: str) -> subprocess.Popen[str]:
        """Start a `wf` command in the project and come back."""
        return subprocess.Popen(
            [sys.executable, "-c", "from pytest_wf.cli.main import main; main()", *words],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def configure(self, **keys: str) -> None:
        """Set keys in flows/workflow.env."""
        path = self.root / "flows" / "workflow.env"
        lines = [
            line for line in path.read_text().splitlines() if line.partition("=")[0] not in keys
        ]
        path.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in keys.items()), ""]))

    def phase(self, code: str, body: str, name: str = "mine") -> None:
        """Add a phase of the user's own with `body` as its code."""
        indented = "\n".join("    " + line for line in body.splitlines())
        (self.root / "flows" / f"test_{name}.py").write_text(
            "import pytest\n\n\n"
            f"@pytest.mark.phase({code!r}, command={name!r})\n"
            f"def test_{name}(wf_flow, wf_config, request):\n"
            f'    """A phase of the test."""\n{indented}\n'
        )
