"""A user who goes on after a fault, with nothing but what the product says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from tests.support.flow_project import FlowRun, Project

FLAGS = ("--wf-wait=true", "--wf-fetch=all")
RESUME = ("--wf-sweep=resume",)
_CAMPAIGN = re.compile(r"`(pytest [^`]*--wf-campaign=[^`]+)`")
_RETRAIN = re.compile(r'Set SWEEP_RETRAIN="([^"]+)"')


def next_command(output: str) -> list[str] | None:
    """The words of the first command that `output` names as next.

    A user who may choose whether good runs are trained again goes on with these.
    """
    campaign = _CAMPAIGN.search(output)
    if campaign:
        return shlex.split(campaign.group(1))
    reset = re.search(r"`(wf fsm-reset \w+)`", output)
    found = reset or re.search(r"^next: (.+)$", output, re.MULTILINE)
    return shlex.split(found.group(1)) if found else None


class User:
    """Starts flows, and does what they say until one has passed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        #: What each command that was given printed, with its words.
        self.told: list[tuple[Sequence[str], str]] = []
        self.flows: list[FlowRun] = []
        #: Called with the rows that the user lets the product train again.
        self.retrains: Callable[[list[str]], None] = lambda _: None

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

    def finish(self, after: str = "", at_most: int = 8) -> bool:
        """Go on behind a flow that said `after`, until one passes; whether one did.

        Where it said nothing, as a killed one does, the user resumes.
        """
        passed, output = False, after
        while at_most and not passed:
            output, passed = self._go_on(output)
            at_most -= 1
        return passed

    def _go_on(self, after: str) -> tuple[str, bool]:
        retrain = _RETRAIN.search(after)
        if retrain is None or _CAMPAIGN.search(after):
            return self._do(next_command(after) or ["pytest", *RESUME])
        self.retrains(retrain.group(1).split())
        self.project.configure(SWEEP_RETRAIN=f'"{retrain.group(1)}"')
        done = self._do(["pytest"])
        self.project.configure(SWEEP_RETRAIN="")
        return done

    def _do(self, words: list[str]) -> tuple[str, bool]:
        if words[0] == "pytest":
            own = [word for word in words[1:] if word not in ("flows/", "--wf-flow", *FLAGS)]
            run = self.ended(self.start(*own))
            return run.output, run.code == 0
        done = self.project.wf(*words[1:])
        output = done.stdout + done.stderr
        self.told.append((words, output))
        return output, False
