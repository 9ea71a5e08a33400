"""Two commits, or two files of figures, beside each other: ``python -m … A B [pytest arguments]``.

Commits are measured in turn, a round after the other, each in a worktree of its own, and both by
the benchmarks of this checkout. Packages come from the environment that this is run in.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

REPO = Path(__file__).parents[3]
ROUNDS = 5
BENCHMARKS = ("tests/bench", "tests/support/bench")

#: The values of each figure, by benchmark, way and quantity.
Figures = dict[tuple[str, str, str], list[float]]


def main(words: Sequence[str]) -> int:
    """Print the ratios; 2 for a wrong call."""
    if len(words) < 2 or words[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    a, b, *arguments = words
    if a.endswith(".json") and b.endswith(".json"):
        found = [_read(Path(a)), _read(Path(b))]
    else:
        found = _measured(a, b, arguments)
    print(table(a, b, *found))
    return 0


def table(a: str, b: str, of_a: Figures, of_b: Figures) -> str:
    """The figures that both have, as medians and their ratio."""
    names = [" / ".join(key) for key in of_a if key in of_b]
    width = max([len(name) for name in names], default=0)
    lines = [f"{'':{width}}   {a[:12]:>12}   {b[:12]:>12}   {'B / A':>6}"]
    for key, values in of_a.items():
        if key in of_b:
            first, second = median(values), median(of_b[key])
            share = f"{second / first:.2f}" if first else ""
            name = " / ".join(key)
            lines.append(f"{name:{width}}   {first:12.4g}   {second:12.4g}   {share:>6}")
    lines += [f"only in {a}: {' / '.join(key)}" for key in of_a if key not in of_b]
    lines += [f"only in {b}: {' / '.join(key)}" for key in of_b if key not in of_a]
    return "\n".join(lines)


def collected(documents: Sequence[Mapping[str, Any]]) -> Figures:
    """The values of all documents that one commit's benchmarks have written."""
    values: Figures = {}
    for document in documents:
        for figure in document["figures"]:
            key = (figure["benchmark"], figure["way"], figure["quantity"])
            values.setdefault(key, []).extend(figure["values"])
    return values


def _read(path: Path) -> Figures:
    return collected([json.loads(path.read_text())])


def _measured(a: str, b: str, arguments: Sequence[str]) -> list[Figures]:
    with (
        tempfile.TemporaryDirectory(prefix="wf-bench-") as folder,
        _worktree(Path(folder, "a"), a) as of_a,
        _worktree(Path(folder, "b"), b) as of_b,
    ):
        documents: dict[Path, list[Mapping[str, Any]]] = {of_a: [], of_b: []}
        for number in range(ROUNDS):
            for tree in (of_a, of_b)[:: -1 if number % 2 else 1]:
                documents[tree].append(_run(tree, arguments))
        return [collected(documents[tree]) for tree in (of_a, of_b)]


@contextmanager
def _worktree(tree: Path, commit: str) -> Iterator[Path]:
    _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        for name in BENCHMARKS:
            shutil.rmtree(tree / name, ignore_errors=True)
            shutil.copytree(REPO / name, tree / name)
        _make_environment(tree)
        yield tree
    finally:
        _git("worktree", "remove", "--force", str(tree))


def _make_environment(tree: Path) -> None:
    """An environment with the packages of this one, in which the package itself is `tree`'s."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tree / ".venv"], check=True)
    ours = Path(sysconfig.get_paths()["purelib"])
    site = next((tree / ".venv/lib").glob("python*/site-packages"))
    # a path here comes before those of the packages: this tree hides the installed one
    (site / "tree.pth").write_text(f"{tree}\n{ours}\n")
    # what is known of the installed one (its entry points) is that of this tree's own
    metadata = next(ours.glob("pytest_wf-*.dist-info"))
    shutil.copytree(metadata, site / metadata.name)
    tools = REPO / ".venv/.bench-tools"
    if tools.exists():
        (tree / ".venv/.bench-tools").symlink_to(tools)


def _run(tree: Path, arguments: Sequence[str]) -> Mapping[str, Any]:
    """One round of the benchmarks of a worktree."""
    figures = tree / "figures.json"
    figures.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(tree / ".venv/bin/python", "-m", "pytest", "-c", "tests/pytest.toml", "--rootdir=."),
            *("-o", "python_files=bench_*.py", "--times=1", f"--json={figures}", "-q"),
            *(arguments or ["tests/bench"]),
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": ""},
        stdout=sys.stderr,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"The benchmarks ended with status {done.returncode} in {tree}.")
    document: dict[str, Any] = json.loads(figures.read_text())
    return document


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(REPO), *words], check=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
