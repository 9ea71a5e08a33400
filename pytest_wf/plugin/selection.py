"""Selections of rows on the command line; phases cannot be selected."""

from __future__ import annotations

import importlib.util
import os
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Options that count only on the command line, by the names of their attributes in pytest.
_HABITS = {
    "keyword": "-k",
    "markexpr": "-m",
    "lf": "--lf",
    "failedfirst": "--ff",
    "newfirst": "--nf",
    "stepwise": "--sw",
    "maxfail": "-x/--maxfail",
    "numprocesses": "-n",
    "dist": "--dist",
    "tx": "--tx",
}
#: The most rows that a message names.
_SHOWN = 20


def command_line(config: pytest.Config) -> Namespace:
    """The options on the command line, without `addopts`."""
    return config._parser.parse_known_args(list(config.invocation_params.args))


def ignore_addopts(config: pytest.Config) -> list[str]:
    """Undo the selections of `addopts` (ini file, `PYTEST_ADDOPTS`); return the undone options.

    A default in an ini file must neither rent pods nor keep rows from being trained.
    """
    given, option, ignored = command_line(config), config.option, []
    for name, word in _HABITS.items():
        if name in ("numprocesses", "dist", "tx") and getattr(given, "numprocesses", None):
            continue  # taken over as the number of pods
        if hasattr(option, name) and getattr(option, name) != getattr(given, name, None):
            setattr(option, name, getattr(given, name, None))
            ignored.append(word)
    return ignored


@dataclass(frozen=True)
class NodeId:
    """An argument that names a test in a file, such as ``flows/test_x.py::test_row[a]``."""

    #: As given on the command line.
    text: str
    path: str
    names: tuple[str, ...]

    def covers(self, item: pytest.Item) -> bool:
        """Whether it names the item, its function with all parameters, or its class."""
        if os.path.realpath(item.path) != self.path:
            return False
        base, bracket, parameter = item.nodeid.partition("::")[2].partition("[")
        names = tuple(base.split("::"))
        if self.names[-1:] == (names[-1] + bracket + parameter,):
            names = (*names[:-1], names[-1] + bracket + parameter)
        return names[: len(self.names)] == self.names


def collect_whole_flow(config: pytest.Config, folder: Path) -> list[NodeId]:
    """Collect all of the flow's `folder` if an argument names something in it.

    Returns the node ids among the arguments. If there are any, the folder only says which flow to
    run, and selects nothing.
    """
    above = config.invocation_params.dir
    place = os.path.relpath(folder, above)
    args: list[str] = []
    found: list[NodeId] = []
    for arg in config.args:
        node = _node_of(config, arg)
        if os.path.realpath(folder) not in (node.path, *map(str, Path(node.path).parents)):
            args.append(arg)
            continue
        args.append(place)
        found += [node] if node.names else []
    config.args[:] = list(dict.fromkeys(args))
    return found


def _node_of(config: pytest.Config, arg: str) -> NodeId:
    base, bracket, parameter = arg.partition("[")
    name, *names = base.split("::")
    if names:
        names[-1] += bracket + parameter
    path = os.path.join(config.invocation_params.dir, name)
    if not os.path.lexists(path) and config.option.pyargs:
        path = _file_of(name) or path
    # a path that does not exist is not part of the flow: pytest reports it
    return NodeId(arg, os.path.realpath(path) if os.path.lexists(path) else "", tuple(names))


def _file_of(module: str) -> str | None:
    """The file of an importable module, for ``--pyargs``."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None else None


def named_wrongly(
    nodes: Iterable[NodeId], phases: Sequence[pytest.Item], rows: Sequence[pytest.Item]
) -> list[str]:
    """Problems with node ids: those that name a phase, and those that match nothing."""
    wrong = []
    for node in nodes:
        if any(node.covers(item) for item in phases):
            wrong.append(f"{node.text}: {IS_A_PHASE}")
        elif not any(node.covers(item) for item in rows):
            wrong.append(f"{node.text}: there is no such test. {rows_are(rows)}")
    return wrong


def dropped_by_mark(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Problems with `-m`, which selects tests by marks: rows have none of their own."""
    if not config.option.markexpr:
        return []
    from _pytest.mark import deselect_by_mark

    kept = list(items)
    deselect_by_mark(kept, config)
    names = sorted({item.nodeid.partition("[")[0] for item in items if item not in kept})
    if not names:
        return []
    return [f"-m {config.option.markexpr!r} leaves out {', '.join(names[:_SHOWN])}: {IS_A_PHASE}"]


def deselected_phases(config: pytest.Config, phases: Sequence[pytest.Item]) -> list[str]:
    """Problems with `--deselect`, which must not remove phases.

    They are reported, not ignored: a user who deselects the teardown expects it not to run.
    """
    return [
        f"--deselect {item.nodeid}: {IS_A_PHASE}"
        for item in phases
        if item.nodeid.startswith(_deselect_prefixes(config))
    ]


def is_deselected(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether `--deselect` names the item."""
    return item.nodeid.startswith(_deselect_prefixes(config))


def rows_are(rows: Iterable[pytest.Item]) -> str:
    """A sentence with the ids of all rows."""
    ids = list(dict.fromkeys(item.callspec.params["wf_run"] for item in rows))  # type: ignore[attr-defined]
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"The rows are {', '.join(ids[:_SHOWN])}{more}." if ids else "There are no rows."


IS_A_PHASE = "it is a phase, and a flow runs all of them; selections act on sweep rows only"


def _deselect_prefixes(config: pytest.Config) -> tuple[str, ...]:
    # a folder or file above a phase would leave nothing to run
    return tuple(p for p in config.getoption("deselect", None) or () if "::" in p)
