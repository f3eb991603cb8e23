"""One assertion, in any of the forms in which models write them, as test cases."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from plum_hub.answers.source import loaded_names, unparse
from plum_hub.execution.literals import parse_literal
from plum_hub.records import TestCase

_UNITTEST = {
    "assertEqual": "{0} == {1}", "assertEquals": "{0} == {1}", "assertListEqual": "{0} == {1}",
    "assertDictEqual": "{0} == {1}", "assertTupleEqual": "{0} == {1}", "assertSetEqual": "{0} == {1}",
    "assertSequenceEqual": "{0} == {1}", "assertMultiLineEqual": "{0} == {1}", "assertNotEqual": "{0} != {1}",
    "assertTrue": "{0}", "assertFalse": "not {0}", "assertIsNone": "{0} is None", "assertIsNotNone": "{0} is not None",
    "assertIs": "{0} is {1}", "assertIsNot": "{0} is not {1}", "assertIn": "{0} in {1}",
    "assertNotIn": "{0} not in {1}", "assertGreater": "{0} > {1}", "assertGreaterEqual": "{0} >= {1}",
    "assertLess": "{0} < {1}", "assertLessEqual": "{0} <= {1}", "assertIsInstance": "isinstance({0}, {1})",
    "assertCountEqual": "sorted({0}) == sorted({1})",
}  # fmt: skip
_RAISES = ("raises", "assertRaises", "assertRaisesRegex")


@dataclass(frozen=True)
class Near:
    """A value within `tolerance` of the expected one."""

    value: ast.expr
    tolerance: float


def is_assertion(statement: ast.stmt) -> bool:
    """Whether a statement checks something: an assert, a unittest call, `with raises(...)`, or holds one inside."""
    return any(map(_is_check, ast.walk(statement)))


def plain_assertion(statement: ast.stmt) -> ast.stmt:
    """The same check without unittest or pytest: an assert, or a `try` that raises AssertionError."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name), args=args)) if name in _UNITTEST:
            form = _UNITTEST[name]
            if len(args) >= form.count("{"):
                test = ast.parse(form.format(*(f"({ast.unparse(arg)})" for arg in args)), mode="eval").body
                return ast.Assert(test=test, msg=None)
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(attr=name), args=[error, function, *args], keywords=keywords)
        ) if name in _RAISES:
            call = ast.Call(func=function, args=args, keywords=keywords)
            return _must_raise([ast.Expr(value=call)], error)
        case ast.With(items=[ast.withitem(context_expr=ast.Call(func=function, args=[error, *_]))], body=body) if (
            _called_name(function) in _RAISES
        ):
            return _must_raise(body, error)
    return statement


def read_assertion(statement: ast.stmt) -> Iterator[TestCase]:
    """The cases of one assertion that stands alone: calls where it can be split, else the statement as it is."""
    match statement:
        case ast.Assert(test=ast.BoolOp(op=ast.And(), values=tests)):
            for test in tests:
                yield from read_assertion(ast.Assert(test=test, msg=None))
        case ast.Assert(test=test) if (case := _read_test(test)) is not None:
            yield case
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="assertAlmostEqual")) as call):
            if (case := _read_almost(call)) is not None:
                yield case
        case _:
            yield TestCase(kind="statement", statement=unparse([statement]))


def call_case(call: ast.expr, expected: ast.expr, tolerance: float | None = None) -> TestCase | None:
    """A case of the kind `call`, or None where the expected value is no literal or the call is one."""
    if not is_literal(expected) or not loaded_names(call):
        return None
    return TestCase(kind="call", call=ast.unparse(call), expected=ast.unparse(expected), tolerance=tolerance)


def is_literal(node: ast.expr) -> bool:
    """Whether the judge can read the expression as a value without running it."""
    try:
        parse_literal(ast.unparse(node))
    except ValueError:
        return False
    return True


def _read_test(test: ast.expr) -> TestCase | None:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call):
            return call_case(_as_bool(call), ast.Constant(value=False))
        case ast.Call() as call if (case := _read_close(call)) is not None:
            return case
        case ast.Call() as call:
            return call_case(_as_bool(call), ast.Constant(value=True))
        case ast.Compare(left=left, ops=[ast.Lt() | ast.LtE()], comparators=[limit]):
            return _read_distance(left, limit)
        case ast.Compare(left=call, ops=[ast.Is()], comparators=[ast.Constant() as expected]):
            return call_case(call, expected)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            for tested, value in ((left, right), (right, left)):
                if (near := _read_approx(value)) is not None:
                    return call_case(tested, near.value, near.tolerance)
                if (case := call_case(tested, value)) is not None and not is_literal(tested):
                    return case
    return None


def _read_distance(left: ast.expr, limit: ast.expr) -> TestCase | None:
    """`abs(f(x) - v) < tolerance`, either way round."""
    match left:
        case ast.Call(func=ast.Name(id="abs"), args=[ast.BinOp(left=one, op=ast.Sub(), right=other)]):
            if (tolerance := _number(limit)) is not None:
                call, expected = (one, other) if is_literal(other) else (other, one)
                return call_case(call, expected, tolerance)
    return None


def _read_close(call: ast.Call) -> TestCase | None:
    """`math.isclose(f(x), v, rel_tol=..., abs_tol=...)`, either way round."""
    if _called_name(call.func) != "isclose" or len(call.args) != 2:
        return None
    tested, expected = call.args if is_literal(call.args[1]) else reversed(call.args)
    return call_case(tested, expected, _tolerance(expected, call.keywords, ("rel_tol", 1e-9), ("abs_tol", 0.0)))


def _read_approx(expected: ast.expr) -> Near | None:
    """`pytest.approx(v, rel=..., abs=...)`."""
    match expected:
        case ast.Call(func=function, args=[value, *_], keywords=keywords) if _called_name(function) == "approx":
            return Near(value, _tolerance(value, keywords, ("rel", 1e-6), ("abs", 1e-12)))
    return None


def _read_almost(call: ast.Call) -> TestCase | None:
    """`self.assertAlmostEqual(f(x), v, places)`, or with `delta=...`; either way round."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if len(call.args) < 2:
        return None
    left, right, *rest = call.args
    given = rest[0] if rest else named.get("places")
    places = 7.0 if given is None else _number(given) or 0.0
    tolerance = _number(named["delta"]) if "delta" in named else 0.5 * 10.0**-places
    tested, expected = (left, right) if is_literal(right) else (right, left)
    return call_case(tested, expected, tolerance)


def _tolerance(
    expected: ast.expr, keywords: list[ast.keyword], relative: tuple[str, float], absolute: tuple[str, float]
) -> float:
    """The absolute tolerance that a relative and an absolute one give for the largest number in the expected value."""
    given = {keyword.arg: _number(keyword.value) for keyword in keywords}
    largest = max((abs(n) for node in ast.walk(expected) if (n := _number(node)) is not None), default=0.0)
    part = given.get(relative[0])
    return max(largest * (relative[1] if part is None else part), given.get(absolute[0]) or absolute[1])


def _number(node: ast.AST) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -float(number)
        case ast.BinOp(left=ast.Constant(value=int(base)), op=ast.Pow(), right=exponent):
            power = _number(exponent)  # 10**-6
            return float(base) ** power if power is not None and abs(power) < 100 and base > 0 else None
    return None


def _as_bool(call: ast.Call) -> ast.expr:
    """`assert f(x)` asks for a true value, not for True."""
    return ast.Call(func=ast.Name(id="bool", ctx=ast.Load()), args=[call], keywords=[])


def _must_raise(body: list[ast.stmt], error: ast.expr) -> ast.stmt:
    otherwise = ast.parse(f"raise AssertionError({ast.unparse(error) + ' was not raised'!r})").body
    handler = ast.ExceptHandler(type=error, name=None, body=[ast.Pass()])
    return ast.fix_missing_locations(ast.Try(body=body, handlers=[handler], orelse=otherwise, finalbody=[]))


def _is_check(node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.Raise(exc=ast.Name(id="AssertionError") | ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.Call(func=function):
            name = _called_name(function)
            return name in _UNITTEST or name in _RAISES or name == "assertAlmostEqual"
    return False


def _called_name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
