"""Settings of a trainer: a config file of `key = value` lines, then `key=value` arguments.

    python train.py config/default.py out_dir=out/first seed=1 learning_rate=0.3

The file looks like Python and is only read, never run. A key that the trainer does not know,
or a value of the wrong type, ends the trainer before it has begun.
"""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any, Iterator, Sequence, TypeVar

T = TypeVar("T")

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def read(settings: type[T], argv: Sequence[str]) -> T:
    """An instance of the dataclass `settings`, as its defaults, the file and the arguments say.

    `argv` is `[config file] key=value ...`; what comes later wins. Raises SystemExit with every
    mistake at once.
    """
    known = {f.name: f.default for f in dataclasses.fields(settings)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    problems = []
    for place, key, written in _entries(argv):
        if key is None:
            problems.append(f"{place}: {written}")
        elif key not in known:
            problems.append(f"{place}: unknown key {key!r}. Known: {', '.join(sorted(known))}.")
        else:
            try:
                values[key] = _typed(written, known[key])
            except ValueError as e:
                problems.append(f"{place}: {key}: {e}")
    if problems:
        raise SystemExit("\n".join(problems))
    return settings(**values)


def _entries(argv: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
    """(place, key, value) of every setting; key None and a reason for what is none."""
    for argument in argv:
        key, equals, value = argument.partition("=")
        if equals:
            yield f"argument {argument!r}", key, value
        else:
            yield from _file_entries(argument)


def _file_entries(name: str) -> Iterator[tuple[str, Any, Any]]:
    try:
        tree = ast.parse(Path(name).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as e:
        yield name, None, f"not a readable config file: {e}"
        return
    for node in tree.body:
        place = f"{name}:{node.lineno}"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # the docstring
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            yield place, None, "not a 'key = value' line."
            continue
        try:
            yield place, node.targets[0].id, ast.literal_eval(node.value)
        except ValueError:
            yield place, None, "not a plain value: write a number, a text, True or False."


def _typed(written: Any, default: Any) -> Any:
    """`written` as a value of the default's type."""
    kind = type(default)
    if isinstance(written, str) and kind is not str:
        if kind is bool and written.lower() in _TRUTH:
            return _TRUTH[written.lower()]
        try:
            written = ast.literal_eval(written)
        except (ValueError, SyntaxError):
            raise ValueError(f"{written!r} is not of type {kind.__name__}.") from None
    if kind is float and type(written) is int:
        return float(written)
    if type(written) is not kind:
        raise ValueError(f"{written!r} is not of type {kind.__name__}.")
    return written
