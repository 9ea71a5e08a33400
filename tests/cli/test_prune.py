"""`wf prune`: room on both sides, and nothing lost without a yes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replaced(new_wf: Callable[..., Any]) -> Any:
    """A project whose first runs of `one` and `two` were trained again; `one` was fetched."""
    wf = new_wf()
    wf.all_good("pod-status", "bootstrap", "checkout", "sweep-start", "sweep-watch")
    wf.all_good("fetch-run one")
    wf.configure(SWEEP_FORCE="1")
    wf.all_good("pod-status", "sweep-start", "sweep-watch", "fetch-run one")
    return wf


def pruned(wf: Any, *words: str) -> dict[str, Any]:
    """What `wf prune` says."""
    told = wf("prune", *words, "--json")
    assert told.code == 0, told
    found: dict[str, Any] = json.loads(told.out)
    return found


def archived(wf: Any) -> list[str]:
    """The runs in the pod's archive."""
    archive = wf.root / ".wf" / "pod" / "outputs" / "_archive"
    return sorted(str(path.relative_to(archive.parent)) for path in archive.glob("*/*"))


def earlier_copies(wf: Any) -> list[Path]:
    """The replaced copies on this machine."""
    return sorted((wf.root / "reports" / "runs" / ".superseded").glob("*/*"))


def test_nothing_goes_that_is_nowhere_else_without_a_yes(replaced: Any) -> None:
    one, two = archived(replaced)
    trees = sorted((replaced.root / ".wf" / "pod" / "repo" / ".wf-trees").glob("c-*"))
    would = pruned(replaced, "--dry-run")
    assert would["would_remove"]["archive"] == [one]
    assert f"not here: {two}" in would["kept"][two]
    assert archived(replaced) == [one, two]

    done = pruned(replaced, "--archive")
    assert done["removed"]["archive"] == [one]
    assert (archived(replaced), done["lost"]) == ([two], [])
    assert sorted((replaced.root / ".wf" / "pod" / "repo" / ".wf-trees").glob("c-*")) == trees

    (copy,) = earlier_copies(replaced)
    kept = pruned(replaced, "--superseded")["kept"][f"{copy.parent.name}/one"]
    assert "are in no other copy here" in kept
    assert copy.exists()

    last = pruned(replaced, "--yes")
    assert [loss.get("run", loss.get("copy")) for loss in last["lost"]] == [
        two,
        f"{copy.parent.name}/one",
    ]
    assert not archived(replaced) and not earlier_copies(replaced)
    assert (replaced.root / ".wf" / "pod" / "outputs" / "one" / "summary.json").exists()
    assert (replaced.root / "reports" / "runs" / "one" / "summary.json").exists()
