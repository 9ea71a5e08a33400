"""The options of a flow: one table for pytest, for `wf flow --help` and for completion.

Small, because every pytest run imports it if the package is installed.
"""

from __future__ import annotations

from typing import NamedTuple


class FlowOption(NamedTuple):
    """One option of `pytest flows/ --wf-flow`."""

    name: str
    #: The legal values, or a placeholder; empty for an option without a value.
    values: tuple[str, ...]
    #: None if a config key has the default.
    default: str | None
    #: Begins with a capital; ends with a full stop only if it has several sentences.
    help: str
    #: Whether only `values` are legal.
    is_choice: bool = True

    @property
    def usage(self) -> str:
        """The option as written in help, such as ``--wf-wait=true|false``."""
        return f"{self.name}={'|'.join(self.values)}" if self.values else self.name

    @property
    def completions(self) -> list[str]:
        """What a shell completes: the option with each known value."""
        if not self.values:
            return [self.name]
        words = [v for v in self.values if v.islower() and v.isalpha()]
        return [f"{self.name}={word}" for word in words] or [f"{self.name}="]


FLOW_OPTIONS = (
    FlowOption(
        "--wf-provision",
        ("auto", "skip"),
        "auto",
        "Rent a pod if the config names none (default: auto)",
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
        "The campaign that --wf-sweep=resume continues, even if the config now asks for another "
        "commit",
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
        "Before a sweep starts, run its first row, shortened by SMOKE_OVERRIDES; if that "
        "fails, start nothing",
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
        "What to do with the pod at the end (default: WF_DEFAULT_TEARDOWN, which is keep)",
    ),
    FlowOption(
        "--wf-config",
        ("PATH",),
        None,
        "Config to use instead of flows/workflow.env; needs WF_ALLOW_OVERRIDE=1 there",
        is_choice=False,
    ),
    FlowOption(
        "--wf-csv", ("PATH",), None, "Sweep CSV to use instead of SWEEP_CSV", is_choice=False
    ),
    FlowOption(
        "--wf-reports",
        ("DIR",),
        "reports",
        "Folder for report.html, junit.xml and allure-results (default: reports)",
        is_choice=False,
    ),
    FlowOption(
        "--wf-terminal",
        ("auto", "contract", "human"),
        "auto",
        "Output for programs, or for people; auto is for people on a terminal (default: auto)",
    ),
)
