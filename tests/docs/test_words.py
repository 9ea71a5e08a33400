"""Plain technical English: spelling, and words that user-facing text does without."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

#: Each with what is written in its place.
AVOIDED = {
    "nobody": "no one, or who does not",
    "somebody": "a person, another machine",
    "anybody": "a person",
    "everybody": "all",
    "whoever": "the person or process that",
    "stands": "is",
    "dearer": "more than",
    "in vain": "without success",
    "mend": "correct, repair",
    "mends": "corrects, repairs",
    "befalls": "happens to",
    "comes along": "is sent",
    "goes again": "is run again",
    "is told": "is said, is shown",
    "bury": "hide",
    "moods": "faults",
    "harness": "pytest-wf",
}
#: What codespell takes for mistakes: names, parts of names, and mistakes that a test makes.
SPELLED = "intoto,nd,rouge,trian,tpyo,caf,lightnin,fals,acelerate,ond,notin"
_WORDS = re.compile(rf"\b({'|'.join(AVOIDED)})\b", re.IGNORECASE)
_PROSE = ("README.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md")


def _messages(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module: all strings of several words, the help of commands included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_help = path.parent.name == "cli"
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and not (is_help and isinstance(node, ast.FunctionDef))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if " " in node.value and id(node) not in docstrings:
            yield node.lineno, node.value


def test_messages_and_help_do_without_the_avoided_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word} ({AVOIDED[word.lower()]})"
        for path in sorted((ROOT / "pytest_wf").rglob("*.py"))
        for line, text in _messages(path)
        for word in _WORDS.findall(text)
    ]
    assert found == []


def test_the_documentation_does_without_the_avoided_words() -> None:
    pages = [*(ROOT / name for name in _PROSE), *sorted((ROOT / "docs").rglob("*.md"))]
    found = [
        f"{page.relative_to(ROOT)}:{number}: {word} ({AVOIDED[word.lower()]})"
        for page in pages
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        # names of tests, which the page of faults lists
        for word in _WORDS.findall(re.sub(r"`[^`]*`", "", line))
    ]
    assert found == []


def test_everything_is_spelled_as_in_a_dictionary() -> None:
    words = ["--skip", "*.js,*.png,*.svg,*.json", "--ignore-words-list", SPELLED]
    places = ["pytest_wf", "docs", "tests", "flows", "scripts", "examples", "Makefile", *_PROSE]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *words, *places, "CHANGELOG.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
