"""Convert one assertion, in any of the forms that models write, to test cases."""

import ast
import cmath
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from plum_hub.answers.plain import CLOSENESS_CALLS, called_name, is_check, lower_closeness
from plum_hub.answers.source import loaded_names, unparse
from plum_hub.execution.closeness import parse_expected, without_as_lists
from plum_hub.execution.frames import Labelled
from plum_hub.execution.literals import expression_tree, parse_literal, syntax_tree
from plum_hub.records import TestCase

_NO_VALUE = object()
_REVERSE = ast.keyword(arg="reverse", value=ast.Constant(value=True))


def is_assertion(statement: ast.stmt) -> bool:
    """Return whether a statement checks something.

    Args:
        statement: Any statement.

    Returns:
        True for an assert, a unittest call, `with raises(...)`, and a statement that contains one of these.
    """
    return any(map(is_check, ast.walk(statement)))


def read_assertion(statement: ast.stmt) -> Iterator[TestCase]:
    """Convert one self-contained assertion to test cases.

    Args:
        statement: The assertion.

    Yields:
        A case of the kind `call` for each part that compares a call with a literal; the unchanged statement otherwise.
    """
    match statement:
        case ast.Assert(test=ast.BoolOp(op=ast.And(), values=tests)):
            for test in tests:
                yield from read_assertion(ast.Assert(test=test, msg=None))
        case ast.Assert(test=test) if (case := _read_test(test)) is not None:
            yield case
        case _:
            yield TestCase(kind="statement", statement=unparse([lower_closeness(statement)]))


def make_call_case(call: ast.expr, expected: ast.expr, tolerance: float | None = None) -> TestCase | None:
    """Make a test case of the kind `call`.

    Args:
        call: The expression to evaluate.
        expected: The expression of the expected value.
        tolerance: Largest absolute difference that passes; None requires equality.

    Returns:
        The case, or None if the expected value is not a literal or the call reads no name.
    """
    if not is_literal(expected) or not loaded_names(call):
        return None
    source = ast.unparse(lower_closeness(call))
    return TestCase(kind="call", call=source, expected=ast.unparse(expected), tolerance=tolerance)


def call_to_statement(case: TestCase) -> str:
    """Rewrite a call case as an equivalent assert statement, for use behind other statements.

    Args:
        case: A case of the kind `call`.

    Returns:
        The source of the statement.
    """
    expected = without_as_lists(str(case.expected))
    if case.tolerance is not None:
        return f"assert abs({case.call} - {expected}) <= {case.tolerance!r}\n"
    if expected.startswith("isclose("):
        arguments = expected.removeprefix("isclose(")
        return f"assert __builtins__['__import__']('math').isclose({case.call}, {arguments}\n"
    if isinstance(_value(expression_tree(expected)), Labelled):  # its `==` gives a table of truth values
        return f"assert ({expected}).equals({case.call})\n"
    return unparse([lower_closeness(syntax_tree(f"assert ({case.call}) == {expected}").body[0])])


def is_literal(node: ast.expr) -> bool:
    """Return whether the judge can evaluate an expression without running it.

    Args:
        node: The expression.

    Returns:
        True if `parse_literal` reads its source.
    """
    return _value(node) is not _NO_VALUE


def holds_nan(node: ast.expr) -> bool:
    """Return whether a literal is or contains NaN, to which no answer can be equal.

    Args:
        node: The literal.

    Returns:
        Whether it does.
    """
    return _holds_nan(_value(node))


def _value(node: ast.expr | None) -> Any:
    if node is None:
        return _NO_VALUE
    try:
        return parse_literal(ast.unparse(node))
    except ValueError:
        return _NO_VALUE


def _read_test(test: ast.expr) -> TestCase | None:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call):
            return make_call_case(_truth(call), ast.Constant(value=False))
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr="isclose") | ast.Name(id="isclose")) as call:
            return _read_close(call)
        case ast.Call(func=ast.Attribute(value=left, attr="equals"), args=[right], keywords=[]):
            return _read_equals(left, right)
        case ast.Call() as call:
            return make_call_case(_truth(call), ast.Constant(value=True))
        case ast.Compare(left=left, ops=[ast.Lt() | ast.LtE() as operator], comparators=[limit]):
            return _read_distance(left, limit, strict=isinstance(operator, ast.Lt))
        case ast.Compare(left=limit, ops=[ast.Gt() | ast.GtE() as operator], comparators=[left]):
            return _read_distance(left, limit, strict=isinstance(operator, ast.Gt))
        case ast.Compare(left=call, ops=[ast.Is() | ast.IsNot() as same], comparators=[ast.Constant(value=value)]):
            return _read_identity(call, value, isinstance(same, ast.Is))
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return _read_equality(left, right)
    return None


def _read_equality(left: ast.expr, right: ast.expr) -> TestCase | None:
    for tested, value in ((left, right), (right, left)):
        if isinstance(value, ast.Call) and called_name(value.func) in CLOSENESS_CALLS and value.args:
            return _read_closeness(tested, value)
    for tested, value in ((left, right), (right, left)):
        if (case := make_call_case(tested, value)) is not None and not is_literal(tested):
            return None if _holds_nan(_value(value)) else case
    return None


def _read_equals(left: ast.expr, right: ast.expr) -> TestCase | None:
    """Read `f(x).equals(v)` of pandas, in either order.

    Where the judge cannot evaluate what pandas makes of `v`, its own method is called: the program's value could have
    another.
    """
    for tested, value in ((left, right), (right, left)):
        if isinstance(known := _value(value), Labelled):
            kind = {"DataFrame": "frame", "Series": "series"}.get(known.kind, "index")
            labels = "exact" if kind == "index" else "check_index_type"
            rules = {"check_exact": True, "check_names": False, labels: False}
            given = [ast.keyword(arg=name, value=ast.Constant(value=rule)) for name, rule in rules.items()]
            return _closeness_case(f"assert_{kind}_equal", tested, value, given)
    root: ast.expr = right
    while isinstance(root, ast.Attribute | ast.Call | ast.Subscript):
        root = root.func if isinstance(root, ast.Call) else root.value
    if isinstance(root, ast.Name) and root.id in ("pd", "pandas"):
        return TestCase(kind="statement", statement=f"assert {ast.unparse(right)}.equals({ast.unparse(left)})\n")
    return make_call_case(
        _truth(ast.Call(func=ast.Attribute(value=left, attr="equals", ctx=ast.Load()), args=[right], keywords=[])),
        ast.Constant(value=True),
    )


def _read_closeness(tested: ast.expr, close: ast.Call) -> TestCase | None:
    """Read `f(x) == pytest.approx(v)`, or `pytest.approx(f(x)) == v`, in which the result defines the tolerance."""
    function, (inner, *rest) = called_name(close.func), close.args
    positional = zip(("rel", "abs", "nan_ok"), rest, strict=False)
    keywords = [*(ast.keyword(arg=name, value=item) for name, item in positional), *close.keywords]
    if is_literal(inner):
        return _closeness_case(function, tested, inner, keywords)
    return _closeness_case(function, inner, tested, [*keywords, _REVERSE] if function == "approx" else keywords)


def _closeness_case(
    function: str, tested: ast.expr, expected: ast.expr, keywords: list[ast.keyword]
) -> TestCase | None:
    """Make a case for a call whose value must be close to a literal; None if the judge cannot read the expectation."""
    closeness = ast.Call(func=ast.Name(id=function, ctx=ast.Load()), args=[expected], keywords=keywords)
    text = ast.unparse(ast.fix_missing_locations(closeness))
    try:
        parse_expected(text)
    except ValueError:
        return None
    if not loaded_names(tested):
        return None
    return TestCase(kind="call", call=ast.unparse(lower_closeness(tested)), expected=text)


def _holds_nan(value: Any) -> bool:
    """Return whether a value is or contains NaN, to which no answer can be equal."""
    match value:
        case dict():
            return any(map(_holds_nan, [*value, *value.values()]))
        case list() | tuple() | set() | frozenset():
            return any(map(_holds_nan, value))
    return isinstance(value, float | complex | Decimal) and value != value


def _read_identity(call: ast.expr, value: object, positive: bool) -> TestCase | None:
    """Read `f(x) is True` and its variants.

    The expression maps the constants to themselves and everything else to a list, so that 1 is not accepted for
    True. It does not reveal which constant is expected.
    """
    if value is None and positive:
        return make_call_case(call, ast.Constant(value=None))
    if not (value is None or value is True or value is False):
        return None
    if not positive:
        tested = ast.Compare(left=call, ops=[ast.Is()], comparators=[ast.Constant(value=value)])
        return make_call_case(tested, ast.Constant(value=False))
    function = ast.parse("lambda value: value if value is True or value is False else [value]", mode="eval").body
    return make_call_case(ast.Call(func=function, args=[call], keywords=[]), ast.Constant(value=value))


def _read_distance(left: ast.expr, limit: ast.expr, *, strict: bool) -> TestCase | None:
    """Read `abs(f(x) - v) <= tolerance`, in either order; `<` becomes `<=` with the next smaller float."""
    match left:
        case ast.Call(
            func=ast.Name(id="abs"), args=[ast.BinOp(left=minuend, op=ast.Sub(), right=subtrahend)], keywords=[]
        ):
            call, expected = (minuend, subtrahend) if is_literal(subtrahend) else (subtrahend, minuend)
            tolerance, value = _tolerance(limit), _value(expected)
            if tolerance is None or (strict and tolerance == 0) or not _is_finite(value):
                return None
            return make_call_case(call, expected, math.nextafter(tolerance, -math.inf) if strict else tolerance)
    return None


def _is_finite(value: Any) -> bool:
    """Return whether a literal is a number whose difference from another number is finite."""
    return isinstance(value, int | float | complex | Fraction) and (
        isinstance(value, int | Fraction) or cmath.isfinite(value)
    )


def _read_close(call: ast.Call) -> TestCase | None:
    """Read `math.isclose(f(x), v, rel_tol=..., abs_tol=...)`, in either order."""
    if len(call.args) != 2:
        return None
    tested, expected = call.args if is_literal(call.args[1]) else reversed(call.args)
    return _closeness_case("isclose", tested, expected, call.keywords)


def _tolerance(node: ast.expr) -> float | None:
    """Evaluate a literal tolerance of at least 0; None unless a float represents it exactly."""
    match node:
        case ast.BinOp(left=ast.Constant(value=int() | float() as base), op=ast.Pow(), right=exponent):
            power = _value(exponent)  # 10**-6
            in_range = isinstance(power, int | float) and abs(power) < 100 and 0 < base < 100
            number: Any = base**power if in_range else None
        case _:
            number = _value(node)
    if not isinstance(number, int | float) or not 0 <= number < math.inf:
        return None
    try:
        return float(number) if float(number) == number else None
    except OverflowError:
        return None


def _truth(call: ast.expr) -> ast.expr:
    """Convert an expression to its truth value, as `assert f(x)` accepts any true value.

    The result uses no name, because the program may redefine `bool`.
    """
    return ast.UnaryOp(op=ast.Not(), operand=ast.UnaryOp(op=ast.Not(), operand=call))
