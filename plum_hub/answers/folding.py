"""Evaluate the parts of a test that are known before any program runs: literals, arithmetic on them, and tables."""

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from plum_hub.answers.assertions import is_literal
from plum_hub.execution.literals import equal, parse_literal

MAX_ROWS = 1_000
"""A loop over a longer table is not unrolled."""
_MAX_BITS = 4_096
_MAX_ITEMS = 100_000
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: equal, ast.NotEq: lambda one, other: not equal(one, other), ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def fold(node: ast.expr) -> ast.expr:
    """Evaluate arithmetic on constants, such as `2 / 3`, `10**6` and `"ab" * 3`, wherever an expression has it.

    Args:
        node: The expression; it may be modified.

    Returns:
        An expression of the same value.
    """
    folded: ast.expr = _Folded().visit(node)
    return ast.fix_missing_locations(folded)


class _Folded(ast.NodeTransformer):
    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        left, right = _number_or_text(node.left), _number_or_text(node.right)
        if left is None or right is None:
            return node
        try:
            value = _power(left, right) if isinstance(node.op, ast.Pow) else _computed(node.op, left, right)
        except (ArithmeticError, TypeError, ValueError):
            return node
        if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
            return node
        # A negative constant would be bound too weakly where its source stands before `**` or a dot.
        if isinstance(value, int | float) and (value < 0 or (value == 0 and math.copysign(1, value) < 0)):
            return ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=-value))
        return ast.Constant(value=value)


def _number_or_text(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=bool() | None):
            return None
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if value is not True:
            return -value
    return None


def _computed(operation: ast.operator, left: Any, right: Any) -> Any:
    if type(operation) not in _BINARY or (isinstance(left, str) and isinstance(operation, ast.Mod)):
        raise TypeError
    if isinstance(left, str) or isinstance(right, str):
        size = len(left) * right if isinstance(right, int) else left * len(right) if isinstance(left, int) else 0
        if size > _MAX_ITEMS:
            raise ValueError
    value = _BINARY[type(operation)](left, right)
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise ValueError
    return value


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and right > 0 and left.bit_length() * right > _MAX_BITS:
        raise ValueError
    return left**right


def is_fixed(node: ast.expr) -> bool:
    """Tell whether a literal's value can never change, and is the same object for all that anyone can see.

    Args:
        node: A literal.

    Returns:
        True for numbers, texts, None, and tuples of these.
    """
    match node:
        case ast.Constant(value=value):
            return value is not Ellipsis
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() | complex())):
            return True
        case ast.Tuple(elts=items):
            return all(map(is_fixed, items))
    return False


def table_rows(table: ast.expr) -> list[ast.expr] | None:
    """List the items over which a loop goes.

    Args:
        table: A literal, or `zip`, `enumerate`, `range` or a view of literals.

    Returns:
        The items; None if the expression does not list them, or there are too many.
    """
    rows = _rows(table)
    return None if rows is None or len(rows) > MAX_ROWS else rows


def _rows(table: ast.expr) -> list[ast.expr] | None:
    match table:
        case ast.List(elts=items) | ast.Tuple(elts=items) if not any(isinstance(one, ast.Starred) for one in items):
            return items
        case ast.Constant(value=str(text)):
            return [ast.Constant(value=letter) for letter in text]
        case ast.Dict():
            return _views(table, "keys")
        case ast.Call(func=ast.Attribute(value=ast.Dict() as held, attr=view), args=[], keywords=[]):
            return _views(held, view)
        case ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]):
            return _numbers(arguments)
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *start], keywords=words):
            first = _number_or_text([*start, *(word.value for word in words), ast.Constant(value=0)][0])
            rows = _rows(inner)
            if rows is None or not isinstance(first, int):
                return None
            return [_pair(ast.Constant(value=number), row) for number, row in enumerate(rows, first)]
        case ast.Call(func=ast.Name(id="zip"), args=[_, *_] as columns, keywords=[]):
            tables = [_rows(column) for column in columns]
            found = [rows for rows in tables if rows is not None]
            return [_pair(*row) for row in zip(*found, strict=False)] if len(found) == len(tables) else None
    return None


def _pair(*items: ast.expr) -> ast.expr:
    return ast.Tuple(elts=list(items), ctx=ast.Load())


def _views(held: ast.Dict, view: str) -> list[ast.expr] | None:
    keys = [key for key in held.keys if key is not None and is_fixed(key)]
    if len(keys) < len(held.values) or len({parse_literal(ast.unparse(key)) for key in keys}) < len(keys):
        return None
    pairs = [_pair(key, value) for key, value in zip(keys, held.values, strict=True)]
    return {"keys": keys, "values": held.values, "items": pairs}.get(view)


def _numbers(arguments: Sequence[ast.expr]) -> list[ast.expr] | None:
    values = [_number_or_text(argument) for argument in arguments]
    if not 0 < len(values) < 4 or any(type(value) is not int for value in values) or values[2:] == [0]:
        return None
    numbers = range(*values)
    return [_signed(number) for number in numbers] if len(numbers) <= MAX_ROWS else None


def _signed(number: int) -> ast.expr:
    if number < 0:
        return ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=-number))
    return ast.Constant(value=number)


def decided(test: ast.expr) -> bool | None:
    """Evaluate a condition on literals.

    Args:
        test: The condition.

    Returns:
        Whether it holds; None if it does not consist of literals, or Python would raise.
    """
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            found = decided(inner)
            return None if found is None else not found
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operation], comparators=[ast.Constant(value=None)]):
            return (_is_none(left) is isinstance(operation, ast.Is)) if is_literal(left) else None
        case ast.Compare(left=left, ops=[operation], comparators=[right]) if type(operation) in _COMPARED:
            if not (is_literal(left) and is_literal(right)):
                return None
            values = [parse_literal(ast.unparse(side)) for side in (left, right)]
            try:
                return None if any(value != value for value in values) else _COMPARED[type(operation)](*values)
            except TypeError:
                return None
    return bool(parse_literal(ast.unparse(test))) if is_fixed(test) else None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def write_in(values: Mapping[str, ast.expr], expression: ast.expr) -> ast.expr:
    """Write values in the place of names, and evaluate what a constant index or key picks of them.

    Args:
        values: Literals by name.
        expression: An expression; it is not modified.

    Returns:
        A copy.
    """
    written: ast.expr = _Written(values).visit(deepcopy(expression))
    return written


class _Written(ast.NodeTransformer):
    def __init__(self, held: Mapping[str, ast.expr]) -> None:
        self._held = held

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = self._picked(node)
        return node if found is node else deepcopy(found)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        found = self._picked(node)
        return node if found is node else deepcopy(found)

    def _picked(self, node: ast.expr) -> ast.expr:
        """Return what stands for an expression, not a copy: a whole table is not copied for each of its items."""
        match node:
            case ast.Name(id=name):
                return self._held.get(name, node) if isinstance(node.ctx, ast.Load) else node
            case ast.Subscript():
                node.slice = self.visit(node.slice)
                container = self._picked(node.value)
                if (
                    isinstance(node.slice, ast.Constant)
                    and (place := place_of(container, node.slice.value)) is not None
                ):
                    return place[0][place[1]]
                node.value = container if container is node.value else deepcopy(container)
                return node
        written: ast.expr = self.visit(node)
        return written


def place_of(container: ast.expr, key: object) -> tuple[list[ast.expr], int] | None:
    """Find where an item of a literal stands.

    Args:
        container: The literal.
        key: Index or key.

    Returns:
        The list of items, and the index of the one; None if there is no such item, or it is not certain which.
    """
    match container:
        case ast.List(elts=items) | ast.Tuple(elts=items) if isinstance(key, int) and 0 <= key < len(items):
            return None if any(isinstance(item, ast.Starred) for item in items) else (items, key)
        case ast.Dict(keys=keys, values=values):
            known = [one.value for one in keys if isinstance(one, ast.Constant)]
            if len(set(known)) == len(values) and key in known:
                return values, known.index(key)
    return None
