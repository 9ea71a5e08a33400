"""Projects of the examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.sweep import Sweep


@pytest.fixture
def new_sweep(tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """Makes the project of an example; what still runs on its pod is stopped at the end."""
    made: list[Sweep] = []

    def new(example: str, **kwargs: Any) -> Sweep:
        made.append(Sweep(example, tmp_path, **kwargs))
        return made[-1]

    yield new
    for sweep in made:
        for run in sweep.project.runs:
            if run.process.poll() is None:
                run.kill()
                sweep.project.wf("sweep-stop")
