"""JSON Schemas of all records of a flow, as files of the package.

They are generated from `pytest_wf.evidence.records` by ``python -m pytest_wf.schemas`` and
read here as files, so that a reader does not need pydantic.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

__all__ = ["load", "names"]


def names() -> list[str]:
    """File names of the published schemas."""
    files = resources.files(__name__).iterdir()
    return sorted(f.name for f in files if f.name.endswith(".schema.json"))


def load(name: str) -> dict[str, Any]:
    """The schema in the file `name`. Raises FileNotFoundError."""
    schema: dict[str, Any] = json.loads((resources.files(__name__) / name).read_bytes())
    return schema
