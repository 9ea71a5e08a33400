"""Fixtures for phases. None of them changes the pod's state: only operations do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

# imported when a flow begins: a plan does not need these modules
if TYPE_CHECKING:
    from pytest_wf.config.keys import Config
    from pytest_wf.flow.flow import Flow
    from pytest_wf.flow.rows.monitor import SweepView
    from pytest_wf.flow.run_view import RunView
    from pytest_wf.pods.base import Completed, Target


class PodView:
    """The bound pod, for the body of a phase."""

    def __init__(self, flow: Flow, command: str) -> None:
        self._flow = flow
        self._command = command

    @property
    def target(self) -> Target:
        """The machine that the flow is bound to."""
        return self._flow.state.pod.target

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 60) -> Completed:
        """Run `argv` on the pod, without a shell, as the command that the phase declared.

        Raises TimeoutError, and LinkLost if the outcome is unknown.
        """
        self._flow.current.note_command(self._command)
        pod = self._flow.state.pod
        self._flow.state.binding.state_before()
        pod.states.sent()  # what the command does to the state is not known
        with pod.log.effect("run", {"argv": list(argv)}) as outcome, pod.patience.asking():
            completed = pod.connection.run(argv, stdin=stdin, timeout_s=timeout_s)
            outcome["returncode"] = completed.returncode
            return completed


@pytest.fixture
def wf_member(request: pytest.FixtureRequest) -> str:
    """The pod that the phase is for, such as 'pod2'; '' with only one pod."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def wf_flow(request: pytest.FixtureRequest, wf_member: str) -> Flow:
    """The running flow: its operations; `wf_flow.state` has its project, options and phases.

    With several pods, it is the part of the flow on the phase's pod.
    """
    plugin: Any = request.config.pluginmanager.get_plugin("wf-phases")
    flow: Flow = plugin.fleet.of(wf_member)
    return flow


@pytest.fixture
def wf_config(wf_flow: Flow) -> Config:
    """The active config, typed; secrets are not in it."""
    return wf_flow.state.config


@pytest.fixture
def wf_pod(request: pytest.FixtureRequest, wf_flow: Flow) -> PodView:
    """The bound pod, to run commands on."""
    mark = request.node.get_closest_marker("phase")
    return PodView(wf_flow, str(mark.kwargs.get("command", "")))


@pytest.fixture
def wf_fsm(wf_flow: Flow) -> Mapping[str, Any]:
    """The pod's state record at the beginning of the phase; for reading only."""
    return wf_flow.state.pod.state()


@pytest.fixture
def wf_sweep(wf_flow: Flow) -> SweepView:
    """The campaign on the pod."""
    return wf_flow.state.sweep


@pytest.fixture
def wf_run(request: pytest.FixtureRequest, wf_flow: Flow) -> RunView:
    """One row of the sweep; parametrized by its run id."""
    from pytest_wf.flow.run_view import RunView

    return RunView(wf_flow.state, request.param)


@pytest.fixture
def wf_attach(wf_flow: Flow) -> Callable[[str, bytes | str], None]:
    """A function that adds a file to the evidence of the running phase."""

    def attach(name: str, content: bytes | str) -> None:
        wf_flow.current.attach(name, content.encode() if isinstance(content, str) else content)

    return attach
