"""How a flow imports the modules of this package."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader

import pytest_wf
from pytest_wf.plugin.own_modules import OwnModules


def test_a_module_of_ours_is_imported_as_python_does() -> None:
    found = OwnModules().find_spec("pytest_wf.errors", pytest_wf.__path__)
    assert found is not None
    assert type(found.loader) is SourceFileLoader


def test_other_modules_are_left_to_pytest() -> None:
    for name in ("conftest", "pytest_wf_of_a_user", "json"):
        assert OwnModules().find_spec(name) is None


def test_nothing_of_it_stays_when_pytest_ends() -> None:
    before = list(sys.meta_path)
    end = OwnModules.install()
    assert type(sys.meta_path[0]) is OwnModules
    end()
    assert sys.meta_path == before
