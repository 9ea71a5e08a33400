"""A Python file as data: its imports, calls and definitions. It is parsed and never run."""

from __future__ import annotations

import ast
import io
import os
import re
import stat
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: A larger file was not written by hand.
MAX_BYTES = 512 * 1024


#: A command line with `key=value` arguments in a docstring.
_USAGE = re.compile(r"python3? \S+\.py(?: \S+)? [A-Za-z_]\w*=\S")


@dataclass(frozen=True)
class Script:
    """A parsed Python file."""

    #: Relative to the project's folder, with '/'.
    path: str
    tree: ast.Module
    #: Modules as they are imported; those of relative imports with their dots.
    imports: frozenset[str]
    #: Dotted names of its calls and decorators.
    calls: frozenset[str]
    #: All identifiers and text constants, for searches.
    words: frozenset[str]

    @property
    def folder(self) -> str:
        """Its folder; '' for the project's own."""
        return os.path.dirname(self.path)

    def calls_any(self, signs: tuple[str, ...]) -> str:
        """The first of `signs` that it calls; '' for none. A dot before a name means any object."""
        for sign in signs:
            tail = sign if sign.startswith(".") else f".{sign}"
            if sign in self.calls or any(call.endswith(tail) for call in self.calls):
                return sign
        return ""


def read(root: Path, path: str) -> Script | None:
    """The file `path` of `root`; None if it is not a regular Python 3 file of a usual size."""
    raw = regular_file(root / path)
    if raw is None:
        return None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(raw.decode(encoding))
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None
    return _script(path, tree)


def regular_file(path: Path) -> bytes | None:
    """The content of a regular file; None for a link or another kind of file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(fd, "rb") as f:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        try:
            return f.read(MAX_BYTES)
        except OSError:
            return None


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name or an attribute; `.c` for an attribute of another expression; or ''."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls in `tree`."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _resolve(tree: ast.Module) -> None:
    """Give each name that is imported from a package its full one: `option` is `click.option`."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full.update((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = full.get(node.id, node.id)


def _script(path: str, tree: ast.Module) -> Script:
    _resolve(tree)
    imports: set[str] = set()
    called: set[str] = set()
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            imports.add(module)
            separator = "" if module.endswith(".") else "."
            imports.update(f"{module}{separator}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called.update(_called(node))
        elif isinstance(node, ast.Name):
            words.add(node.id.rpartition(".")[2])
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value[:200])
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            called.update(dotted(d) for d in node.decorator_list)
    usage = _USAGE.search(ast.get_docstring(tree) or "")
    if "argv" in words and (usage or called & {".partition:=", ".split:="}):
        called.add("sys.argv with key=value")
    return Script(path, tree, frozenset(imports), frozenset(called), frozenset(words))


def _called(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    yield name
    texts = [a.value for a in call.args if isinstance(a, ast.Constant)]
    if name.endswith((".partition", ".split")) and texts[:1] == ["="]:
        yield f".{name.rpartition('.')[2]}:="
    if name == "exec":
        inside = (n.value for n in ast.walk(call) if isinstance(n, ast.Constant))
        if any("configurator" in str(text) for text in inside):
            yield "exec(configurator)"
