"""The changes that mutation testing makes to a module, each of one place."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}


class Change(NamedTuple):
    """Characters of a source text, and what replaces them."""

    line: int
    start: int
    end: int
    old: str
    new: str

    def made(self, source: str) -> str:
        """`source` with the change."""
        return source[: self.start] + self.new + source[self.end :]


def changes(source: str) -> Iterator[Change]:
    """All changes of `source`: comparisons, and/or/not, conditions, numbers, True and False,
    returned values and arithmetic. Texts and annotations stay as they are."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(line: int, column: int) -> int:
        text = source[lines[line - 1] : lines[line]].encode()[:column].decode()
        return lines[line - 1] + len(text)

    for node, new in _nodes(ast.parse(source)):
        start = place(node.lineno, node.col_offset)
        end = place(node.end_lineno or 0, node.end_col_offset or 0)
        yield Change(node.lineno, start, end, source[start:end], f"({ast.unparse(new)})")


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):
                continue
            if isinstance(node, ast.expr):
                yield from ((node, new) for new in _replaced(node))
                if _is_condition(tree, name, node):
                    yield node, ast.UnaryOp(ast.Not(), node)
                if isinstance(tree, ast.Return) and not _is_none(node):
                    yield node, ast.Constant(None)
            yield from _nodes(node)


def _replaced(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            new = copy.copy(node)
            new.ops = [*node.ops[:at], _COMPARED[type(op)](), *node.ops[at + 1 :]]
            yield new
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, (int, float)):
            yield ast.Constant(node.value + 1)


def _is_condition(tree: ast.AST, name: str, node: ast.expr) -> bool:
    """Whether `node` is a condition that no other change turns round."""
    plain = not isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp))
    in_comprehension = isinstance(tree, ast.comprehension) and name == "ifs"
    return plain and (name == "test" or in_comprehension) and not _is_type_checking(node)


def _is_type_checking(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
