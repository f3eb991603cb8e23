"""The normal form of a program, in which programs that differ only in how they are written are equal.

It folds constants, and removes what cannot run or has no effect. Programs with equal forms do the same; of those whose
forms differ it says nothing.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

from plum_hub.answers.source import FunctionNode, parse

_LARGEST = 1 << 64
"""Larger integers are not computed with."""
_FOLDED: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def normal_form(source: str) -> str:
    """Reduce a program to its normal form.

    Args:
        source: Python source.

    Returns:
        A text that equal programs share; "" if the source does not parse.

    Raises:
        RecursionError, ValueError: It is nested too deeply, or has an integer that is too long to print.
    """
    tree = parse(source)
    return "" if tree is None else ast.dump(_Normaliser().visit(tree))


class _Normaliser(ast.NodeTransformer):
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.USub) and (number := _number(inner)) is not None:
            return ast.Constant(value=-number)
        if not isinstance(node.op, ast.Not):
            return node
        if isinstance(inner, ast.Constant):
            return ast.Constant(value=not inner.value)
        if isinstance(inner, ast.Compare) and len(inner.ops) == 1 and type(inner.ops[0]) in _OPPOSITES:
            return ast.Compare(left=inner.left, ops=[_OPPOSITES[type(inner.ops[0])]()], comparators=inner.comparators)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right, fold = _number(node.left), _number(node.right), _FOLDED.get(type(node.op))
        if fold is None or left is None or right is None:
            return node
        return ast.Constant(value=fold(left, right))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            return ast.IfExp(test=node.test.operand, body=node.orelse, orelse=node.body)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                setattr(node, field, _block(block, needed=field == "body"))
        if isinstance(node, FunctionNode):
            node.body = _without_last_return(node.body)
        if isinstance(node, ast.If):
            _turn(node)
        return node


def _number(node: ast.expr) -> int | float | None:
    """Return the value of a number that can be computed with."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST else None


def _block(block: list[ast.stmt], *, needed: bool) -> list[ast.stmt]:
    """Return a block without `pass`, and without what follows its end."""
    kept: list[ast.stmt] = []
    for statement in block:
        if isinstance(statement, ast.If) and isinstance(statement.test, ast.Constant):
            kept += statement.body if statement.test.value else statement.orelse
        elif not isinstance(statement, ast.Pass):
            kept.append(statement)
        if kept and isinstance(kept[-1], _ENDS):
            break
    return kept or ([ast.Pass()] if needed else [])


def _without_last_return(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return a function's body without a final `return None`, which it does anyway."""
    last = body[-1]
    ends = isinstance(last, ast.Return) and (
        last.value is None or (isinstance(last.value, ast.Constant) and last.value.value is None)
    )
    return (body[:-1] or [ast.Pass()]) if ends else body


def _turn(node: ast.If) -> None:
    """Turn `if not a: b else: c` round, in place."""
    opposite = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
    if opposite and node.orelse:
        assert isinstance(node.test, ast.UnaryOp)
        node.test, node.body, node.orelse = node.test.operand, node.orelse, node.body
