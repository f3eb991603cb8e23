"""Read an assertion as what the program gives and what the judge compares it with."""

import ast
from collections.abc import Sequence
from dataclasses import replace

from plum_hub.answers.assertions import holds_nan, is_literal, read_assertion
from plum_hub.answers.plain import raised_closeness
from plum_hub.answers.rewriting import UndividedError
from plum_hub.answers.scopes import Caught, Scope
from plum_hub.answers.source import loaded_names
from plum_hub.execution.base import Call
from plum_hub.execution.conditions import is_simple_pattern
from plum_hub.execution.reserved import reserved
from plum_hub.records import TestCase

_CONDITIONS: dict[type[ast.cmpop], tuple[str | None, str | None]] = {
    ast.NotEq: ("differs", "differs"),
    ast.Lt: ("below", "above"),
    ast.LtE: ("at_most", "at_least"),
    ast.Gt: ("above", "below"),
    ast.GtE: ("at_least", "at_most"),
    ast.In: ("is_in", "holds"),
    ast.NotIn: ("not_in", "lacks"),
}
"""Conditions on the left side where the right one is a literal, and the other way round."""
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_PLAIN = frozenset({
    "len", "str", "repr", "abs", "sum", "round", "int", "float", "list", "tuple", "set", "dict", "sorted", "ord", "chr",
})  # fmt: skip
"""Functions of Python's that give builtins."""
_TYPES = ("int", "float", "str", "bool", "list", "dict", "tuple", "set", "frozenset", "bytes", "complex")
_KINDS = (
    f"[name for name, kind in ({', '.join(f'({name!r}, {name})' for name in _TYPES)},) "
    f"if kind in {reserved('type')}({{}}).__mro__]"
)
"""The builtin types of a value, whichever of them a test asks for."""


def observe(test: ast.expr, scope: Scope) -> list[Call]:
    """Read an assertion.

    Args:
        test: What is asserted.
        scope: The names that it uses.

    Returns:
        Calls, with what each should give; none if what is asserted is known to hold.

    Raises:
        UndividedError: It is decided by what only the program's process knows.
    """
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return [call for one in test.values for call in observe(one, scope)]
    if (holds := scope.decided(test)) is not None:
        if not holds:
            raise UndividedError
        return []
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _negated(test.operand, scope)
    if (close := raised_closeness(test)) is not None:
        return _equal(close.left, close.comparators[0], scope)
    if (call := _of_type(test, scope)) is not None:
        return [call]
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return [] if _is_of_message(left, right, scope, whole=True) else _equal(left, right, scope)
        case ast.Compare(left=left, ops=[ast.In()], comparators=[right]) if _is_of_message(
            right, left, scope, whole=False
        ):
            return []
        case ast.Compare(left=left, ops=[operation], comparators=[right]):
            return _compared(left, operation, right, scope)
        case ast.Call() | ast.Name() | ast.Attribute() | ast.Subscript():
            return _read(scope.inner(test), test, scope)
    raise UndividedError


def _negated(test: ast.expr, scope: Scope) -> list[Call]:
    match test:
        case ast.Compare(left=left, ops=[operation], comparators=[right]) if type(operation) in _OPPOSITE:
            return observe(ast.Compare(left=left, ops=[_OPPOSITE[type(operation)]()], comparators=[right]), scope)
        case ast.Call() | ast.Name() | ast.Attribute() | ast.Subscript():
            return _read(ast.UnaryOp(op=ast.Not(), operand=scope.inner(test)), test, scope)
    raise UndividedError


def _side(node: ast.expr, scope: Scope) -> ast.expr:
    """Return a side of a comparison: a literal that stays outside, or else what is evaluated beside the program."""
    known = scope.known(node)
    if scope.is_literal(known):
        return known
    match known:
        case ast.Call(func=ast.Name(id="approx" | "almost_equal"), args=[wanted], keywords=words) if scope.is_literal(
            wanted
        ):
            return ast.Call(func=known.func, args=[wanted], keywords=words)
        case ast.Call(func=ast.Name(id="approx"), args=[_], keywords=words) if isinstance(node, ast.Call):
            return ast.Call(func=known.func, args=[scope.inner(node.args[0])], keywords=words)
    found = scope.inner(node)
    if is_literal(found):  # a variable by the name of a literal, such as `inf`
        raise UndividedError
    return found


def _equal(left: ast.expr, right: ast.expr, scope: Scope) -> list[Call]:
    compared = ast.Compare(left=_side(left, scope), ops=[ast.Eq()], comparators=[_side(right, scope)])
    sides = ((left, compared.left), (right, compared.comparators[0]))
    if any(scope.is_object(side) and not scope.is_literal(read) for side, read in sides):
        raise UndividedError  # its own class may call it equal
    return _read(compared, right if scope.is_literal(compared.left) else left, scope)


def _compared(left: ast.expr, operation: ast.cmpop, right: ast.expr, scope: Scope) -> list[Call]:
    sides = _side(left, scope), _side(right, scope)
    test = ast.Compare(left=sides[0], ops=[operation], comparators=[sides[1]])
    if isinstance(operation, ast.In) and scope.is_object(left):
        raise UndividedError
    if isinstance(operation, ast.Is | ast.IsNot):
        return _read(test, left, scope)
    cases = [*read_assertion(ast.fix_missing_locations(ast.Assert(test=test, msg=None)))]
    if all(case.kind == "call" for case in cases):  # such as `abs(f(x) - 1) < 0.1`
        return [_call(case) for case in cases]
    for literal, other, name in zip(reversed(sides), sides, _CONDITIONS[type(operation)], strict=True):
        is_certain = name == "is_in" or _is_plain(other)
        if (
            name is not None
            and is_certain
            and scope.is_literal(literal)
            and not holds_nan(literal)
            and loaded_names(other)
        ):
            expected = f"{name}({ast.unparse(literal)})"
            return [_checked(Call(expression=ast.unparse(other), expected=expected))]
    raise UndividedError


def _is_plain(node: ast.expr) -> bool:
    """Tell whether a value is a builtin, so that its operators are those that the judge has."""
    match node:
        case ast.JoinedStr():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _PLAIN
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="readouterr")), attr="out" | "err"):
            return True
    return False


def _read(test: ast.expr, given: ast.expr, scope: Scope) -> list[Call]:
    """Read an assertion over what runs beside the program; one that is only true or false must be the program's own."""
    if isinstance(test, ast.Name | ast.Attribute | ast.Subscript):
        cases = [TestCase(kind="call", call=f"not not {ast.unparse(test)}", expected="True")]
    elif isinstance(test, ast.UnaryOp) and not isinstance(test.operand, ast.Call):
        cases = [TestCase(kind="call", call=f"not not {ast.unparse(test.operand)}", expected="False")]
    else:
        cases = [*read_assertion(ast.fix_missing_locations(ast.Assert(test=test, msg=None)))]
    if not all(case.kind == "call" for case in cases):
        raise UndividedError
    if any(case.expected in ("True", "False") for case in cases) and not scope.is_own(given):
        raise UndividedError
    return [_call(case) for case in cases]


def _call(case: TestCase) -> Call:
    return _checked(Call(expression=str(case.call), expected=str(case.expected), tolerance=case.tolerance))


def _checked(call: Call) -> Call:
    """Refuse what compares beside the program after all, by a function of Python's."""
    if "__builtins__" in call.expression:
        raise UndividedError
    return call


def _of_type(test: ast.expr, scope: Scope) -> Call | None:
    """Read `isinstance(f(x), list)`."""
    match test:
        case ast.Call(
            func=ast.Name(id="isinstance") | ast.Subscript(value=ast.Name(id="__builtins__")),
            args=[value, kinds],
            keywords=[],
        ) if ast.unparse(test.func) in ("isinstance", "__builtins__['isinstance']"):
            items = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
            names = [item.id for item in items if isinstance(item, ast.Name) and item.id in _TYPES]
            if len(names) < len(items) or any(scope.owner(name) for name in (*_TYPES, "isinstance")):
                raise UndividedError
            given = ast.unparse(scope.inner(value))
            return _checked(Call(expression=_KINDS.format(given), expected=f"meets({names!r})"))
    return None


def observe_raise(value: ast.expr, kinds: ast.expr, handler: Sequence[ast.stmt], scope: Scope) -> tuple[Call, Caught]:
    """Read a call that has to raise.

    Args:
        value: The call.
        kinds: The exceptions.
        handler: What is done with one: the search for a pattern, or its name, in plain Python.
        scope: The names in use.

    Returns:
        The call, and what it has to raise.

    Raises:
        UndividedError: Something else is done, or by other means than names.
    """
    items = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
    found = [scope.inner(item) for item in items if isinstance(item, ast.Name)]
    names = [item.id for item in found if isinstance(item, ast.Name)]
    if len(names) < len(items) or "MemoryError" in names or not names:
        raise UndividedError
    caught = Caught(-1, tuple(names))
    for step in handler:
        match step:
            case ast.Pass() | ast.ClassDef(name=_):
                continue
            case ast.Assert(
                test=ast.Call(func=ast.Attribute(attr="search"), args=[pattern, ast.Call(func=message)])
            ) if ast.unparse(message) == "_error_.__str__":
                known = scope.known(pattern)
                if not isinstance(known, ast.Constant) or not is_simple_pattern(str(known.value)):
                    raise UndividedError
                caught = replace(caught, match=str(known.value))
            case _:
                raise UndividedError
    return _checked(Call(expression=ast.unparse(scope.inner(value)), expected=caught.source)), caught


def _is_of_message(given: ast.expr, wanted: ast.expr, scope: Scope, *, whole: bool) -> bool:
    """Read `str(caught.value) == "text"` as a part of what the call has to raise."""
    match given:
        case ast.Call(
            func=ast.Name(id="str"),
            args=[ast.Attribute(value=ast.Name(id=name), attr="value" | "exception")],
            keywords=[],
        ) if scope.owner(name) and not scope.owner("str"):
            caught, text = scope.find(name), scope.known(wanted)
        case _:
            return False
    if not isinstance(caught, Caught) or not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
        return False
    if whole and caught.message not in (None, text.value):
        raise UndividedError
    if whole:
        caught.message = text.value
    else:
        caught.parts = (*caught.parts, text.value)
    return True
