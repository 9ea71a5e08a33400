"""Keeps phases from running without ``--wf-flow``: by three checks, as each alone has a gap.

`testpaths` excludes phases from a plain ``pytest``, but not from ``pytest .``. Ignoring them at
collection excludes directories, but not ``flows/test_lifecycle.py::test_x``. Deselection excludes
that one. A check at set-up catches what is left.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

#: A folder with this file is a folder of flows.
CONFIG_NAME = "workflow.env"


class Inactive:
    """The plugin of a session without ``--wf-flow``."""

    def __init__(self) -> None:
        #: Folders of flows that were left out of collection.
        self._left_out: set[str] = set()

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave folders of flows out of collection."""
        folder = collection_path if collection_path.is_dir() else collection_path.parent
        if not (folder / CONFIG_NAME).is_file():
            return None
        # the evidence of a flow has a copy of the config, and nothing to collect
        if any(folder.glob("*.py")):
            self._left_out.add(folder.name)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Print the reason also if a row is named, which pytest does not find."""
        try:
            return (yield)
        except pytest.UsageError as e:
            raise pytest.UsageError(*e.args, *self.pytest_report_collectionfinish()) from None

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say in one line why folders of flows are left out."""
        if not self._left_out:
            return []
        names = ", ".join(f"{name}/" for name in sorted(self._left_out))
        return [f"wf: {names} left out: phases and rows are collected with --wf-flow"]

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect phases that were named explicitly."""
        phases = [item for item in items if _is_phase(item)]
        if phases:
            config.hook.pytest_deselected(items=phases)
            items[:] = [item for item in items if not _is_phase(item)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail a phase that was collected anyway."""
        if _is_phase(item):
            pytest.fail("a phase runs only in a flow: `pytest flows/ --wf-flow`", pytrace=False)


def _is_phase(item: pytest.Item) -> bool:
    return item.get_closest_marker("phase") is not None
