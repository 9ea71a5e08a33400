"""The pytest plugin: options, hooks, and the plugin of a flow.

Small and lazy: every pytest run imports it if the package is
installed, so nothing heavy is imported without ``--wf-flow``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator
from typing import Any

import pytest

from pytest_wf.plugin.inactive import Inactive
from pytest_wf.project.flow_options import FLOW_OPTIONS

__all__ = ["pytest_addhooks", "pytest_addoption", "pytest_cmdline_main", "pytest_configure"]

#: Read when the plugin is loaded: later, pytest's capture replaces stdin with /dev/null.
_IS_INTERACTIVE = os.isatty(0)
#: How many more objects than before there may be until garbage is looked for.
_OBJECTS_OF_A_COLLECTION = 20_000
MARKERS = (
    'phase(code, command="", needs="", rows=False, timeout_s=None, laws=(), once=False): '
    "a phase of the remote experiment's lifecycle, run in the order of the codes",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flow options, in a group of their own."""
    group = parser.getgroup("wf", "remote experiments (pytest-wf)")
    group.addoption(
        "--wf-flow",
        action="store_true",
        help="Run the lifecycle in flows/; without it nothing there runs.",
    )
    for option in FLOW_OPTIONS:
        if not option.values:
            group.addoption(option.name, action="store_true", help=option.help)
            continue
        how: dict[str, Any] = {"metavar": "|".join(option.values)}
        if option.is_choice:
            how = {"choices": option.values}
        elif option.name in _TYPES:
            how["type"] = _TYPES[option.name]
        group.addoption(option.name, default=option.default, help=option.help, **how)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks of `pytest_wf.hookspecs`."""
    from pytest_wf import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Take -n over before pytest-xdist starts processes for it, and refuse --looponfail, which
    runs in this hook and never configures."""
    if config.getoption("wf_flow"):
        if config.getoption("looponfail", False):
            raise pytest.UsageError("not with --wf-flow: --looponfail runs a flow at every change.")
        from pytest_wf.plugin.other_plugins import take_over_numprocesses

        take_over_numprocesses(config)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the flow's plugins with ``--wf-flow``, otherwise the plugin that keeps
    flows from running.

    Runs first, because the JUnit and Allure plugins read their options in this hook.
    """
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    if not config.getoption("wf_flow"):
        config.pluginmanager.register(Inactive(), "wf-inactive")
        return
    import gc

    # collections look at what a flow makes, and not each time at all modules that are there
    gc.freeze()
    config.add_cleanup(gc.unfreeze)
    # importing makes no garbage, and need not stop to look for it
    thresholds = gc.get_threshold()
    gc.set_threshold(_OBJECTS_OF_A_COLLECTION, *thresholds[1:])
    config.add_cleanup(lambda: gc.set_threshold(*thresholds))
    from pytest_wf.plugin.own_modules import OwnModules

    config.add_cleanup(OwnModules.install())
    from pytest_wf.plugin.activate import activate

    activate(config, interactive=_IS_INTERACTIVE)


def _pods(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of pods: write 1 to 1000")


def _fetch(text: str) -> str:
    if text in ("none", "all") or (text.startswith("run:") and len(text) > len("run:")):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not one of: none, all, run:<run_id>")


#: Parsers of option values.
_TYPES: dict[str, Callable[[str], Any]] = {"--wf-fetch": _fetch, "--wf-pods": _pods}
