"""The options of a flow: one table for pytest, for `wf flow --help` and for shells.

Small, because every pytest run of every project that has the package installed imports it.
"""

from __future__ import annotations

from typing import NamedTuple


class FlowOption(NamedTuple):
    """One option of `pytest flows/ --wf-flow`."""

    name: str
    #: The legal values, or the name of a value; none for an option that takes no value.
    values: tuple[str, ...]
    #: None where a config key has the default.
    default: str | None
    #: Begins with a capital, and has a full stop only where it is sentences.
    help: str
    #: Whether `values` are all that is legal.
    is_choice: bool = True

    @property
    def usage(self) -> str:
        """The option as it is written, such as ``--wf-wait=true|false``."""
        return f"{self.name}={'|'.join(self.values)}" if self.values else self.name

    @property
    def completions(self) -> list[str]:
        """What a shell completes: the option with each value that is known."""
        if not self.values:
            return [self.name]
        words = [v for v in self.values if v.islower() and v.isalpha()]
        return [f"{self.name}={word}" for word in words] or [f"{self.name}="]


FLOW_OPTIONS = (
    FlowOption(
        "--wf-provision",
        ("auto", "skip"),
        "auto",
        "Rent a pod where the config names none (default: auto)",
    ),
    FlowOption(
        "--wf-sweep",
        ("start", "resume", "skip"),
        "start",
        "Start a campaign, attach to the latest one, or launch nothing (default: start)",
    ),
    FlowOption(
        "--wf-campaign",
        ("ID",),
        "",
        "The campaign that --wf-sweep=resume goes on with, also where the config asks for "
        "another commit by now",
        is_choice=False,
    ),
    FlowOption(
        "--wf-pods",
        ("N",),
        None,
        "Number of pods that share the sweep (default: WF_PODS); -n N is the same",
        is_choice=False,
    ),
    FlowOption(
        "--wf-smoke",
        (),
        None,
        "Before a sweep starts, run its first row cut short by SMOKE_OVERRIDES; start nothing "
        "where that fails",
    ),
    FlowOption(
        "--wf-wait",
        ("true", "false"),
        "false",
        "Wait until every row has ended (default: false)",
    ),
    FlowOption(
        "--wf-fetch",
        ("none", "all", "run:ID"),
        "none",
        "Results to copy to this machine, verified (default: none)",
        is_choice=False,
    ),
    FlowOption(
        "--wf-teardown",
        ("keep", "delete"),
        None,
        "What becomes of the pod (default: WF_DEFAULT_TEARDOWN, which is keep)",
    ),
    FlowOption(
        "--wf-config",
        ("PATH",),
        None,
        "Another config than flows/workflow.env; needs WF_ALLOW_OVERRIDE=1 there",
        is_choice=False,
    ),
    FlowOption("--wf-csv", ("PATH",), None, "Another sweep CSV than SWEEP_CSV", is_choice=False),
    FlowOption(
        "--wf-reports",
        ("DIR",),
        "reports",
        "Where report.html, junit.xml and allure-results go (default: reports)",
        is_choice=False,
    ),
    FlowOption(
        "--wf-terminal",
        ("auto", "contract", "human"),
        "auto",
        "Lines for programs, or for people; auto is for people on a terminal (default: auto)",
    ),
)
