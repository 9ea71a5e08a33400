"""A user who goes on after a fault, with nothing but what the product says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from tests.support.flow_project import FlowRun, Project

FLAGS = ("--wf-wait=true", "--wf-fetch=all")
RESUME = ("--wf-sweep=resume",)


def next_command(output: str) -> list[str] | None:
    """The words of the first command that `output` names as next."""
    found = re.search(r"^next: (.+)$", output, re.MULTILINE)
    return shlex.split(found.group(1)) if found else None


class User:
    """Starts flows, and does what they say until one has passed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        #: What each command that was given printed, with its words.
        self.told: list[tuple[Sequence[str], str]] = []
        self.flows: list[FlowRun] = []

    def start(self, *words: str) -> FlowRun:
        """Start a flow that waits and fetches."""
        run = self.project.start(*words, *FLAGS)
        self.flows.append(run)
        return run

    def ended(self, run: FlowRun) -> FlowRun:
        """Wait for the end of a flow."""
        run.wait()
        self.told.append((run.words, run.output))
        return run

    def finish(self, after: str = "", at_most: int = 6) -> bool:
        """Go on behind a flow that said `after`, until one passes; whether one did.

        Where it said nothing, as a killed one does, the user resumes.
        """
        words = next_command(after) or ["pytest", "flows/", "--wf-flow", *RESUME]
        for _ in range(at_most):
            output, passed = self._do(words)
            if passed:
                return True
            words = next_command(output) or ["pytest", "flows/", "--wf-flow", *RESUME]
        return False

    def _do(self, words: list[str]) -> tuple[str, bool]:
        if words[0] == "pytest":
            own = [word for word in words[1:] if word not in ("flows/", "--wf-flow", *FLAGS)]
            run = self.ended(self.start(*own))
            return run.output, run.code == 0
        done = self.project.wf(*words[1:])
        output = done.stdout + done.stderr
        self.told.append((words, output))
        return output, False
