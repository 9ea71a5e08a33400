"""Options and marks of other plugins that a flow refuses: they would run an item again, in another
process, in another order, or not at all."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

import pytest

from pytest_wf.plugin.selection import command_line

_AGAIN = "runs a phase again; rows are retried on the pod (RUN_RETRIES)"
_ELSEWHERE = "runs tests in other processes, and a flow is one sequence in one process"
_ORDER = "changes the order of tests, and the order of a flow is that of its codes"
#: By the name of an option's attribute in pytest: the option, and its effect.
REFUSED = {
    "dist": f"--dist {_ELSEWHERE}",
    "tx": f"--tx {_ELSEWHERE}",
    "forked": f"--forked {_ELSEWHERE}",
    "workers": f"--workers {_ELSEWHERE}",
    "tests_per_worker": f"--tests-per-worker {_ELSEWHERE}",
    "reruns": f"--reruns {_AGAIN}",
    "force_reruns": f"--force-reruns {_AGAIN}",
    "retries": f"--retries {_AGAIN}",
    "force_flaky": f"--force-flaky {_AGAIN}",
    "count": f"--count {_AGAIN}",
    "flake_finder_enable": f"--flake-finder {_AGAIN}",
    "random_order_enabled": f"--random-order {_ORDER}",
    "random_order_bucket": f"--random-order-bucket {_ORDER}",
    "setuponly": "--setup-only runs no phase and would look green",
    "setupplan": "--setup-plan runs no phase and would look green",
    "usepdb": "--pdb stops a flow in the middle while the pod is still billed",
    "trace": "--trace stops a flow in the middle while the pod is still billed",
    "stepwise": "--stepwise leaves out rows by itself; use --lf for failed rows",
    "continue_on_collection_errors": "--continue-on-collection-errors runs half a flow",
}
#: Settings in an ini file with the same effects.
_SETTINGS = {"reruns": _AGAIN, "retries": _AGAIN}
#: Marks with the same effects.
MARKS = ("skip", "skipif", "xfail", "flaky", "forked", "repeat")


def take_over_numprocesses(config: pytest.Config) -> None:
    """Use the `-n` of pytest-xdist as the number of pods, and disable that plugin.

    Only the command line counts: `addopts` must not rent pods. Raises pytest.UsageError.
    """
    option = config.option
    if not hasattr(option, "numprocesses"):
        return
    given, args = command_line(config), list(config.invocation_params.args)
    asked = getattr(given, "numprocesses", None)
    wrong = []
    if any(_names_no_number(args, place) for place in range(len(args))):
        wrong.append("-n takes a number of pods here, not auto or logical")
    elif asked is not None and asked < 1:
        wrong.append(f"-n {asked} is not a number of pods: write 1 or more")
    elif asked and option.wf_pods not in (None, asked):
        wrong.append(f"-n {asked} and --wf-pods={option.wf_pods} are two numbers of pods")
    wrong += [f"{word} {_ELSEWHERE}" for word in _spread(args)]
    if wrong:
        raise pytest.UsageError(*(f"not with --wf-flow: {why}." for why in wrong))
    if asked:
        option.wf_pods = asked
        option.numprocesses, option.dist, option.tx = None, "no", []


def _names_no_number(args: Sequence[str], place: int) -> bool:
    """Whether the argument at `place` is `-n auto` or the like."""
    words = ("auto", "logical")
    arg = args[place]
    if arg in ("-n", "--numprocesses"):
        return any(arg in words for arg in args[place + 1 : place + 2])
    return arg in {f"{name}{word}" for name in ("-n", "-n=", "--numprocesses=") for word in words}


def _spread(args: Sequence[str]) -> list[str]:
    """The options in `args` that distribute tests over processes."""
    return [
        word
        for word in ("--dist", "--tx")
        if any(a == word or a.startswith(f"{word}=") for a in args)
    ]


def refuse_incompatible(config: pytest.Config) -> None:
    """Raise pytest.UsageError for options that would break a flow's order or its results."""
    defaults = config._parser.parse_known_args([])
    wrong = [why for name, why in REFUSED.items() if _is_set(config.option, defaults, name)]
    settings = {name: why for name, why in _SETTINGS.items() if _ini(config, name)}
    wrong += [f"{name} in the ini file {why}" for name, why in settings.items()]
    if "thread" in (getattr(config.option, "timeout_method", None), _ini(config, "timeout_method")):
        wrong.append("--timeout-method=thread kills the process: no teardown, no summary")
    if not any(config.pluginmanager.hasplugin(name) for name in ("timeout", "pytest_timeout")):
        wrong.append("-p no:timeout takes every phase's time limit away")
    if not __debug__ and config.getoption("assertmode", None) == "plain":
        wrong.append("--assert=plain under python -O leaves out every assertion of every phase")
    if wrong:
        raise pytest.UsageError(*(f"not with --wf-flow: {why}." for why in wrong))


def _is_set(option: Namespace, defaults: Namespace, name: str) -> bool:
    value = getattr(option, name, None)
    return bool(value) and value != getattr(defaults, name, None)


def _ini(config: pytest.Config, name: str) -> str:
    """A setting of the ini file; '' if no plugin defines it."""
    try:
        value = str(config.getini(name) or "")
    except ValueError:
        return ""
    return "" if value == "0" else value
