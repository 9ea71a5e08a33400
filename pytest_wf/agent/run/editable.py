"""Packages that are installed 'editable' from the checkout: their folders in a campaign's tree."""

import ast
import glob
import os
from typing import List

from pytest_wf.agent.control.settings import Settings


def import_paths(settings: Settings, tree: str) -> List[str]:
    """Directories of `tree` to import from, before the same ones of the checkout.

    An editable installation points at the checkout, which a later checkout changes.
    """
    sites = os.path.join(glob.escape(os.path.dirname(settings.venv_python)), "..", "lib", "*")
    found: List[str] = []
    for path in sorted(glob.glob(os.path.join(sites, "site-packages", "*"))):
        name = os.path.basename(path)
        if name.endswith(".pth"):
            found += _read(path).splitlines()
        elif name.startswith("__editable__") and name.endswith("_finder.py"):
            found += [os.path.dirname(place) for place in _mapped(_read(path))]
    root = os.path.realpath(settings.repo)
    mine: List[str] = []
    for place in found:
        relative = os.path.relpath(os.path.realpath(place), root) if os.path.isabs(place) else ".."
        moved = os.path.normpath(os.path.join(tree, relative))
        if relative.split(os.sep)[0] != os.pardir and os.path.isdir(moved) and moved not in mine:
            mine.append(moved)
    return mine


def _mapped(text: str) -> List[str]:
    """Where setuptools' finder takes packages from: the values of its MAPPING."""
    try:
        for node in ast.parse(text).body:
            targets: List[ast.expr] = []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            elif isinstance(node, ast.Assign):
                targets = node.targets
            if any(isinstance(t, ast.Name) and t.id == "MAPPING" for t in targets):
                mapping = ast.literal_eval(getattr(node, "value"))  # noqa: B009
                return [str(value) for value in mapping.values()]
    except (SyntaxError, ValueError, AttributeError):
        pass
    return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read(1 << 20)
    except OSError:
        return ""
