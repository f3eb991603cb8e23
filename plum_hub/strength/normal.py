"""The normal form of a program, in which programs that differ only in how they are written are equal.

It folds constants, and removes what cannot run or has no effect. Programs with equal forms do the same; of those whose
forms differ it says nothing.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

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
_REDUCED = (ast.UnaryOp, ast.BinOp, ast.IfExp)
"""Expressions that may become simpler."""
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


class NormalForms:
    """Normal forms of one tree, and of the trees that differ from it in one place: what they share is done once.

    Args:
        root: The tree.
    """

    def __init__(self, root: ast.AST) -> None:
        self._root = root
        self._parents: dict[int, ast.AST] = {}
        left = [root]
        while left:
            node = left.pop()
            children = list(ast.iter_child_nodes(node))
            self._parents |= dict.fromkeys(map(id, children), node)
            left += children
        self._normal: dict[int, tuple[ast.AST, ast.AST]] = {}
        """A node, so that its identity stays its own, and what it becomes."""
        self._texts: dict[int, tuple[ast.AST, str]] = {}

    def of(self, changed: ast.AST | None = None) -> str:
        """Reduce the tree to its normal form.

        Args:
            changed: The node of the tree in which another one was put; None for the tree as it was given.

        Returns:
            A text that equal programs share.

        Raises:
            RecursionError, ValueError: It is nested too deeply, or has an integer that is too long to print.
        """
        node = changed
        while node is not None:
            self._normal.pop(id(node), None)
            node = self._parents.get(id(node))
        form = self._text(self._normalised(self._root))
        node = changed
        while node is not None:  # the other node is about to be taken out again
            self._normal.pop(id(node), None)
            node = self._parents.get(id(node))
        return form

    def _normalised(self, node: ast.AST) -> ast.AST:
        known = self._normal.get(id(node))
        if known is None:
            made = type(node)(**{name: self._field(getattr(node, name, None)) for name in node._fields})
            known = self._normal[id(node)] = node, _simplified(made)
        return known[1]

    def _field(self, value: object) -> object:
        if isinstance(value, ast.AST):
            return self._normalised(value)
        if isinstance(value, list):
            return [self._normalised(one) if isinstance(one, ast.AST) else one for one in value]
        return value

    def _text(self, value: object) -> str:
        if isinstance(value, list):
            return f"[{','.join(map(self._text, value))}]"
        if not isinstance(value, ast.AST):
            return repr(value)
        known = self._texts.get(id(value))
        if known is None:
            fields = [self._text(getattr(value, name, None)) for name in value._fields if name != "kind"]
            known = self._texts[id(value)] = value, f"{type(value).__name__}({','.join(fields)})"
        return known[1]


def _simplified(node: ast.AST) -> ast.AST:
    """Return what a node becomes whose children are in their normal form. It may be changed in place, they may not."""
    if isinstance(node, ast.expr | ast.expr_context | ast.operator | ast.cmpop) and not isinstance(node, _REDUCED):
        return node  # most nodes
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            setattr(node, field, _block(block, needed=field == "body"))
    match node:
        case ast.UnaryOp():
            return _simplified_sign(node)
        case ast.BinOp():
            left, right, fold = _number(node.left), _number(node.right), _FOLDED.get(type(node.op))
            if fold is not None and left is not None and right is not None:
                return ast.Constant(value=fold(left, right))
        case ast.IfExp(test=ast.Constant(value=value)):
            return node.body if value else node.orelse
        case ast.IfExp(test=ast.UnaryOp(op=ast.Not(), operand=test)):
            return ast.IfExp(test=test, body=node.orelse, orelse=node.body)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            node.body = _without_last_return(node.body)
        case ast.If():
            _turn(node)
    return node


def _simplified_sign(node: ast.UnaryOp) -> ast.expr:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=inner) if (number := _number(inner)) is not None:
            return ast.Constant(value=-number)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
            return ast.Constant(value=not value)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[operator_]) as inner) if type(operator_) in _OPPOSITES:
            return ast.Compare(left=inner.left, ops=[_OPPOSITES[type(operator_)]()], comparators=inner.comparators)
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
