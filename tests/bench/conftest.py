"""What the benchmarks share. Times are shown, never asserted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench.cpu import Group
from tests.support.bench.figures import Figures
from tests.support.sshd import Sshd

_figures = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    group.addoption("--times", type=int, default=5, help="how often each way is measured (5)")
    group.addoption("--large", action="store_true", help="also what takes many minutes")


def pytest_configure(config: pytest.Config) -> None:
    def show(text: str) -> None:
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            reporter.write(text + "\n")

    config.stash[_figures] = Figures(show)


def pytest_unconfigure(config: pytest.Config) -> None:
    path = config.getoption("--json")
    if path is not None and _figures in config.stash:
        config.stash[_figures].write(path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a benchmark the numbers of rows of its module, the large one where that is wanted."""
    if "count" in metafunc.fixturenames:
        module: Any = metafunc.module
        large = [module.LARGE] if metafunc.config.getoption("--large") else []
        metafunc.parametrize("count", [*module.COUNTS, *large])


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Takes what was measured, and prints it."""
    return request.config.stash[_figures]


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How often each way is measured."""
    found: int = request.config.getoption("--times")
    return found


@pytest.fixture
def new_group() -> Iterator[Callable[[], Group]]:
    """Makes groups of processes whose CPU time is counted."""
    made: list[Group] = []

    def new() -> Group:
        made.append(Group())
        return made[-1]

    yield new
    for group in made:
        group.close()


@pytest.fixture
def new_pod(
    new_group: Callable[[], Group], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., tuple[Sshd, Group]]]:
    """Makes SSH servers, each in a group of its own; `environment` is what its sessions get."""
    made: list[Sshd] = []

    def new(environment: str = "") -> tuple[Sshd, Group]:
        group = new_group()
        made.append(GroupedSshd(tmp_path_factory.mktemp("sshd"), group))
        if environment:
            made[-1].environment = environment
            made[-1].restart()
        return made[-1], group

    yield new
    for server in made:
        server.cut_sessions()
        server.stop()


class GroupedSshd(Sshd):
    """An SSH server whose processes are in a group."""

    def __init__(self, folder: Path, group: Group) -> None:
        self.inside = group.inside
        super().__init__(folder)
