"""Ids that a shell completes, from the project's files on this machine; contacts no pod.

    python -m pytest_wf.cli.local_ids runs tasks

prints one id per line. It runs at each press of the Tab key, so it imports only the standard
library, reads a bounded part of each file, and ignores mistakes in them.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Callable, Iterator

# a shell expands the words that it gets: `$(…)` in a file name would be run
_PLAIN = re.compile(r"[\w./@:+,-]+")
_CONFIG = os.path.join("flows", "workflow.env")
_MOST_BYTES = 4 * 1024 * 1024
_MOST_IDS = 2_000


def main(kinds: list[str]) -> None:
    """Print the ids of `kinds`, without repeats, for the project around the working directory."""
    root = _root()
    if root is None:
        return
    settings = _settings(os.path.join(root, _CONFIG))
    found: dict[str, None] = {}
    for kind in kinds:
        if kind in _KINDS:
            found.update(dict.fromkeys(_KINDS[kind](root, settings)))
    ids = filter(_PLAIN.fullmatch, found)
    for _, name in zip(range(_MOST_IDS), ids, strict=False):
        sys.stdout.write(f"{name}\n")


def _root() -> str | None:
    folder = os.getcwd()
    while not os.path.isfile(os.path.join(folder, _CONFIG)):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def _settings(path: str) -> dict[str, str]:
    """The values of the config that are plain text."""
    found = {}
    for line in _text(path).splitlines():
        name, equals, value = line.strip().partition("=")
        value = value.partition(" #")[0].strip().strip("'\"")
        if equals and value and "$" not in value:
            found[name] = value
    return found


def _runs(root: str, settings: dict[str, str]) -> Iterator[str]:
    """Rows of the CSV, and fetched runs."""
    path = os.path.join(root, settings.get("SWEEP_CSV", os.path.join("flows", "sweep.csv")))
    lines = (line for line in _text(path).splitlines() if not line.startswith("#"))
    try:
        yield from (row["run_id"] for row in csv.DictReader(lines) if row.get("run_id"))
    except csv.Error:
        pass
    local = settings.get("LOCAL_ARTIFACTS_DIR", os.path.join("reports", "runs"))
    yield from _folders(os.path.join(root, local))


def _tasks(root: str, settings: dict[str, str]) -> Iterator[str]:
    """Tasks of the pod on this machine; those of other pods are not known here."""
    usual = os.path.join(root, ".wf", "pod", "outputs")
    yield from _folders(os.path.join(settings.get("OPS_REMOTE_OUTPUTS_DIR", usual), "_tasks"))


def _flows(root: str, settings: dict[str, str]) -> Iterator[str]:
    """Folders of flows, the newest first, relative to the working directory."""
    place = os.path.join(
        root, settings.get("WF_FLOW_EVIDENCE_DIR", os.path.join("reports", "flows"))
    )
    for name in sorted(_folders(place), reverse=True):
        yield os.path.relpath(os.path.join(place, name))


def _folders(path: str) -> Iterator[str]:
    try:
        with os.scandir(path) as entries:
            names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return
    yield from (name for name in names if not name.startswith((".", "_")))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as f:
            return f.read(_MOST_BYTES)
    except OSError:
        return ""


_KINDS: dict[str, Callable[[str, dict[str, str]], Iterator[str]]] = {
    "runs": _runs,
    "tasks": _tasks,
    "flows": _flows,
}

if __name__ == "__main__":
    main(sys.argv[1:])
