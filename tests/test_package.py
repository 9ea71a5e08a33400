"""What the package promises as a whole: public names, light imports, a valid demo."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pytest_wf
from pytest_wf.config.dotenv import read_entries
from tests.support import ROOT

PACKAGE = ROOT / "pytest_wf"
MAX_MODULES_IN_A_FOLDER = 20
HEAVY = {"allure", "cryptography", "jinja2", "lium", "paramiko", "pydantic", "rich", "typer"}


def modules() -> Iterator[str]:
    """Every module of the package, but those that run when they are imported."""
    yield "pytest_wf"
    for found in pkgutil.walk_packages(pytest_wf.__path__, "pytest_wf."):
        if not found.name.endswith("__main__"):
            yield found.name


def imports_of(path: Path) -> set[str]:
    """Top-level names of all absolute imports in a file, wherever they stand in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((PACKAGE / folder).rglob("*.py"))]
    assert found
    return found


@pytest.mark.parametrize("name", list(modules()))
def test_every_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name)


@pytest.mark.parametrize("name", ["errors", "hookspecs", "testing"])
def test_a_public_module_exports_all_that_it_defines_without_an_underscore(name: str) -> None:
    module = importlib.import_module(f"pytest_wf.{name}")
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert defined <= set(module.__all__)
    assert [key for key in module.__all__ if not hasattr(module, key)] == []


def test_importing_the_package_and_its_plugin_imports_nothing_heavy() -> None:
    program = "import sys, pytest_wf, pytest_wf.plugin; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pytest_wf.plugin" in loaded
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()


def test_a_project_that_does_not_use_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    assert True\n")
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    env.pop("PYTEST_PLUGINS", None)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "-p", "pytest_wf.plugin", "-q"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "pytest_wf.hookspecs" in imported
    assert HEAVY & {name.partition(".")[0] for name in imported} == set()


def test_no_modules_import_each_other_directly_or_in_a_circle() -> None:
    grimp = pytest.importorskip("grimp", reason="import-linter needs Python 3.11")
    graph = grimp.build_graph("pytest_wf", exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    order = list(TopologicalSorter(imports).static_order())  # a CycleError names the circle
    assert set(order) == graph.modules


def test_no_folder_has_more_modules_than_can_be_taken_in_at_a_glance() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules)
    assert {folder: n for folder, n in counts.items() if n > MAX_MODULES_IN_A_FOLDER} == {}


@pytest.mark.parametrize("path", files("wire", "agent"), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_travels_to_the_pod_imports_the_standard_library_alone(path: Path) -> None:
    own = {"pytest_wf.wire", "pytest_wf.agent"}
    foreign = {
        name
        for name in imports_of(path)
        if ".".join(name.split(".")[:2]) not in own
        and name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == set()


def test_the_demo_is_valid_where_flows_is_copied_to(tmp_path: Path) -> None:
    from pytest_wf.config import reader
    from pytest_wf.project import manifest

    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    raw = (tmp_path / "flows/workflow.env").read_bytes()
    demo = reader.load(
        read_entries(raw, "flows/workflow.env"),
        project_dir=str(tmp_path),
        needs_csv=True,
        needs_target=True,
    )
    rows = manifest.read((tmp_path / demo.sweep_csv).read_bytes(), demo.sweep_csv).rows
    assert [row.run_id for row in rows] == ["bigram-lr-003", "bigram-lr-03", "bigram-lr-1"]
    for row in rows:
        assert (ROOT / demo.train_workdir_rel / row.config).is_file()
