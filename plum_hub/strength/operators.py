"""The mutation operators: each turns a node into small faults that a test suite should notice.

They are those of the literature (Offutt's sufficient set and statement deletion), as far as they make sense in Python.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

Operator: TypeAlias = Callable[[ast.AST], Iterator[ast.AST]]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
_ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
"""Operators whose operands are not interchangeable."""
_REMOVABLE = (
    ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Break, ast.Continue, ast.Raise, ast.Assert, ast.Delete,
)  # fmt: skip
_EMPTY: tuple[tuple[tuple[type[ast.expr], ...], str], ...] = (
    ((ast.List, ast.ListComp), "[]"),
    ((ast.Dict, ast.DictComp), "{}"),
    ((ast.JoinedStr,), "''"),
    ((ast.Tuple,), "()"),
)
_MARK = "XX"


def _comparison(node: ast.AST) -> Iterator[ast.AST]:
    """Another comparison: its boundary moved, or its opposite."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    """Another arithmetic or bitwise operator, or no sign."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield ast.BinOp(left=node.left, op=_ARITHMETIC[type(node.op)](), right=node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        yield ast.AugAssign(target=node.target, op=_ARITHMETIC[type(node.op)](), value=node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand


def _boolean(node: ast.AST) -> Iterator[ast.AST]:
    """`and` for `or`, True for False, no `not`."""
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(value=not node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    """An integer that is off by one."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.Constant(value=node.value + 1)
        yield ast.Constant(value=node.value - 1)


def _condition(node: ast.AST) -> Iterator[ast.AST]:
    """A negated condition."""
    if isinstance(node, ast.If):
        yield ast.If(test=_not(node.test), body=node.body, orelse=node.orelse)
    elif isinstance(node, ast.While):
        yield ast.While(test=_not(node.test), body=node.body, orelse=node.orelse)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(test=_not(node.test), body=node.body, orelse=node.orelse)
    elif isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            ifs = [*node.ifs[:place], _not(test), *node.ifs[place + 1 :]]
            yield ast.comprehension(target=node.target, iter=node.iter, ifs=ifs, is_async=node.is_async)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(op=ast.Not(), operand=test)


def _statement(node: ast.AST) -> Iterator[ast.AST]:
    """A statement removed."""
    if isinstance(node, _REMOVABLE):
        yield ast.Pass()


def _result(node: ast.AST) -> Iterator[ast.AST]:
    """A constant returned: both truth values for a condition, an empty value for a display, otherwise None."""
    if not isinstance(node, ast.Return) or node.value is None:
        return
    value = node.value
    if isinstance(value, ast.Compare | ast.BoolOp) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    ):
        yield ast.Return(value=ast.Constant(value=True))
        yield ast.Return(value=ast.Constant(value=False))
        return
    for kinds, empty in _EMPTY:
        if isinstance(value, kinds):
            yield ast.Return(value=ast.parse(empty, mode="eval").body)
    yield ast.Return(value=ast.Constant(value=None))


def _swap(node: ast.AST) -> Iterator[ast.AST]:
    """Arguments, operands or branches swapped."""
    if isinstance(node, ast.Call):
        first_two = node.args[:2]
        if len(first_two) == 2 and not any(isinstance(argument, ast.Starred) for argument in first_two):
            yield ast.Call(func=node.func, args=[*first_two[::-1], *node.args[2:]], keywords=node.keywords)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _ORDERED):
        yield ast.BinOp(left=node.right, op=node.op, right=node.left)
    elif isinstance(node, ast.If) and node.orelse:
        yield ast.If(test=node.test, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(test=node.test, body=node.orelse, orelse=node.body)


def _slice(node: ast.AST) -> Iterator[ast.AST]:
    """The ends of a slice, left out or moved by one."""
    if not isinstance(node, ast.Slice):
        return
    lower, upper, step = node.lower, node.upper, node.step
    if lower is not None:
        yield ast.Slice(lower=None, upper=upper, step=step)
    elif step is None:
        yield ast.Slice(lower=ast.Constant(value=1), upper=upper, step=step)
    if upper is not None:
        yield ast.Slice(lower=lower, upper=None, step=step)
    elif step is None:
        yield ast.Slice(lower=lower, upper=ast.Constant(value=-1), step=step)
    if upper is not None and not isinstance(upper, ast.Constant | ast.UnaryOp):
        yield ast.Slice(lower=lower, upper=ast.BinOp(left=upper, op=ast.Sub(), right=ast.Constant(value=1)), step=step)
    if step is not None:
        yield ast.Slice(lower=lower, upper=upper, step=None)


def _string(node: ast.AST) -> Iterator[ast.AST]:
    """A string emptied; an empty one filled."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield ast.Constant(value="" if node.value else _MARK)


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "comparison": _comparison,
        "arithmetic": _arithmetic,
        "boolean": _boolean,
        "constant": _constant,
        "condition": _condition,
        "statement": _statement,
        "result": _result,
        "swap": _swap,
        "slice": _slice,
        "string": _string,
    }
)
"""The operators by name. Each yields what may stand for a node; nothing for nodes that it does not change."""
_CHANGED: Mapping[str, tuple[type[ast.AST], ...]] = MappingProxyType(
    {
        "comparison": (ast.Compare,),
        "arithmetic": (ast.BinOp, ast.AugAssign, ast.UnaryOp),
        "boolean": (ast.BoolOp, ast.Constant, ast.UnaryOp),
        "constant": (ast.Constant,),
        "condition": (ast.If, ast.While, ast.IfExp, ast.comprehension),
        "statement": _REMOVABLE,
        "result": (ast.Return,),
        "swap": (ast.Call, ast.BinOp, ast.If, ast.IfExp),
        "slice": (ast.Slice,),
        "string": (ast.Constant,),
    }
)
"""What each operator changes."""


OPERATORS_OF: Mapping[type[ast.AST], tuple[tuple[str, Operator], ...]] = MappingProxyType(
    {
        kind: tuple((name, operator) for name, operator in OPERATORS.items() if kind in _CHANGED[name])
        for kind in {kind for kinds in _CHANGED.values() for kind in kinds}
    }
)
"""Name and function of the operators that may change a node, by its class."""
