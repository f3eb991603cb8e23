"""Rewrite the assertions of unittest and pytest as plain Python.

A sandbox has no pytest, and a program can reach unittest: it could replace `assertEqual`. Each assertion therefore
becomes an `assert` or a `try`. The generated code uses no name that a program could have defined: only syntax, and
`__builtins__`, which a sandbox restores for each statement.
"""

import ast
from collections.abc import Iterable, Set
from copy import deepcopy
from typing import TypeVar

from plum_hub.execution.literals import expression_tree

TEMPLATES = {
    "assertEqual": "{0} == {1}", "assertEquals": "{0} == {1}", "assertListEqual": "{0} == {1}",
    "assertDictEqual": "{0} == {1}", "assertTupleEqual": "{0} == {1}", "assertSetEqual": "{0} == {1}",
    "assertSequenceEqual": "[*{0}[:]] == [*{1}[:]]", "assertMultiLineEqual": "{0} == {1}",
    "assertNotEqual": "{0} != {1}",
    "assertTrue": "{0}", "assertFalse": "not {0}", "assert_": "{0}",
    "assertIsNone": "{0} is None", "assertIsNotNone": "{0} is not None",
    "assertIs": "{0} is {1}", "assertIsNot": "{0} is not {1}", "assertIn": "{0} in {1}",
    "assertNotIn": "{0} not in {1}", "assertGreater": "{0} > {1}", "assertGreaterEqual": "{0} >= {1}",
    "assertLess": "{0} < {1}", "assertLessEqual": "{0} <= {1}",
    "assertIsInstance": "__builtins__['isinstance']({0}, {1})",
    "assertNotIsInstance": "not __builtins__['isinstance']({0}, {1})",
    "assertRegex": "__builtins__['__import__']('re').search({1}, {0})",
    "assertNotRegex": "not __builtins__['__import__']('re').search({1}, {0})",
    "assertCountEqual": "(lambda one, other: one.__len__() == other.__len__() and [one.count(item) for item in one] == "
    "[other.count(item) for item in one])([*{0}], [*{1}])",
}  # fmt: skip
"""Methods of `unittest.TestCase` with the expression that each asserts."""
_PARAMETERS = (
    "first", "second", "expr", "expr1", "expr2", "obj", "cls", "member", "container", "a", "b", "text",
    "expected_regex", "unexpected_regex", "list1", "list2", "tuple1", "tuple2", "set1", "set2", "d1", "d2",
    "seq1", "seq2",
)  # fmt: skip
"""Names of their parameters, in the order of each method."""
_RAISES = ("raises", "assertRaises", "assertRaisesRegex")
_ALMOST = {"assertAlmostEqual": ast.Eq, "assertAlmostEquals": ast.Eq, "assertNotAlmostEqual": ast.NotEq}
PANDAS_CHECKS = ("assert_frame_equal", "assert_series_equal", "assert_index_equal")
"""Assertions of `pandas.testing`. Inside, `assert_frame_equal(x, y)` is written `assert x == assert_frame_equal(y)`."""
CHECK_METHODS = frozenset({*TEMPLATES, *_ALMOST, *_RAISES})
"""Methods of `unittest.TestCase` that are checks, and `pytest.raises`."""
CLOSENESS_CALLS = ("approx", "almost_equal", *PANDAS_CHECKS)
"""Calls whose result is equal to close values: `f() == approx(1.0)`."""
_SAME = """(lambda has: (lambda number: (lambda same:
    has(value, "__len__") and value.__len__() == wanted.__len__() and False not in [
        same(*pair) and pair[1].__class__ is not wanted.__class__ for pair in __builtins__["zip"](value, wanted)]
    if wanted.__class__ in ([].__class__, ().__class__)
    else has(value, "keys") and value.keys() == wanted.keys() and False not in [
        same(value[key], wanted[key]) for key in wanted]
    if wanted.__class__ is {}.__class__
    else not has(wanted, "isdisjoint") and same(value, wanted)
)(
    lambda got, want:
        (got is True or got is False) and got == want
        if want is True or want is False
        else got == want or number(got) and number(want) and (
            (nan_ok and got != got) if want != want else
            want.__abs__() != 1e999 and
            ((want - got).__abs__() <= relative * want.__abs__() or (want - got).__abs__() <= absolute)
        )
))(lambda it: __builtins__["isinstance"](it, (0 .__class__, 0.0.__class__, 0j.__class__)) or has(it, "__round__"))
)(__builtins__["hasattr"])"""
_CLOSE = {
    ("relative", "absolute", "nan_ok"): ("approx", ("1e-06", "1e-12", "False")),
    ("delta",): ("almost_equal", ("",)),
    ("places",): ("almost_equal", ("7",)),
}
"""Calls by the last parameters of the lambdas that stand for them, with the defaults."""
_OTHERS = {
    "tb": "tb = _error_.__traceback__",
    "traceback": "traceback = __builtins__['__import__']('traceback').extract_tb(_error_.__traceback__)",
    "errisinstance": "errisinstance = lambda kind, error=_error_: __builtins__['isinstance'](error, kind)",
    "exconly": "exconly = lambda *_, error=_error_: f'{error.__class__.__name__}: {error}'.removesuffix(': ')",
}
"""Attributes of `pytest.ExceptionInfo` besides the usual ones, as source."""
_FAILED = "__builtins__['BaseException']"
"""Stands for what `pytest.fail` raises, which no `except Exception` catches."""
LEFT = "__builtins__['SystemExit']"
"""What an exit without success raises, which it does not catch either."""
_NodeT = TypeVar("_NodeT", bound=ast.AST)


def called_name(function: ast.expr) -> str:
    """Return the last component of a called name: `approx` for `pytest.approx`.

    Args:
        function: The expression that is called.

    Returns:
        The name; "" if the expression is neither a name nor an attribute.
    """
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_check(node: ast.AST) -> bool:
    """Return whether a node is itself a check.

    Args:
        node: Any node.

    Returns:
        True for an assert, a raised AssertionError, an assertion method of unittest or pandas, and `raises(...)`.
    """
    match node:
        case ast.Assert() | ast.Raise(exc=ast.Name(id="AssertionError") | ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.Raise():
            return is_failure(node)
        case ast.Call(func=function):
            name = called_name(function)
            return name in TEMPLATES or name in _RAISES or name in _ALMOST or name in PANDAS_CHECKS
    return False


def is_failure(node: ast.AST) -> bool:
    """Tell whether a node stands for `pytest.fail`, or for an exit without success.

    Args:
        node: Any node, after `to_plain`.

    Returns:
        Whether it raises what only a handler of all exceptions catches.
    """
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Subscript() as kind)):
            return ast.unparse(kind) in (_FAILED, LEFT)
    return False


def to_plain(statement: ast.stmt) -> ast.stmt:
    """Rewrite every check inside a statement as plain Python; `pytest.approx` remains.

    Args:
        statement: The statement; it is not modified.

    Returns:
        One statement that is equivalent.
    """
    body = to_plain_body([statement])
    return body[0] if len(body) == 1 else ast.fix_missing_locations(ast.If(ast.Constant(value=True), body, []))


def to_plain_body(statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Rewrite every check inside statements as plain Python; `pytest.approx` remains.

    Args:
        statements: The statements; they are not modified.

    Returns:
        Equivalent statements, at least one.
    """
    module = ast.Module(body=[deepcopy(statement) for statement in statements], type_ignores=[])
    _Plain({node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute)}).visit(module)
    return ast.fix_missing_locations(module).body or [ast.Pass()]


def lower_closeness(statement: _NodeT) -> _NodeT:
    """Replace comparisons with `approx` and similar calls by expressions that need no library.

    Args:
        statement: The statement; it is not modified.

    Returns:
        An equivalent copy.
    """
    copy: _NodeT = ast.fix_missing_locations(_Lowered().visit(deepcopy(statement)))
    return copy


class _Plain(ast.NodeTransformer):
    def __init__(self, attributes: Set[str]) -> None:
        self._attributes = attributes

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if _is_check(node.value) and any(isinstance(one, ast.Starred) for one in vars(node.value)["args"]):
            match node.value:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
                    return node  # a stand-in of the class has it
            raise ValueError(f"line {node.lineno}: {ast.unparse(node.value)[:60]} has a `*`: write its arguments out")
        match node.value:
            case ast.Call(func=ast.Attribute(attr=name), args=args, keywords=keywords) if name in TEMPLATES:
                template = TEMPLATES[name]
                named = {word.arg: word.value for word in keywords}
                args = [*args, *(named[key] for key in _PARAMETERS if key in named)]
                if len(args) >= template.count("{"):
                    return ast.Assert(test=_expression(template, args), msg=None)
            case ast.Call(func=ast.Attribute(attr=name), args=args, keywords=keywords) if name in _ALMOST:
                return _almost(_ALMOST[name](), args, keywords) or node
            case ast.Call(func=function, args=args, keywords=keywords) if called_name(function) in PANDAS_CHECKS:
                named = {word.arg: word.value for word in keywords}
                args = [*args, *(named[key] for key in ("left", "right") if key in named)]
                others = [word for word in keywords if word.arg not in ("left", "right", "obj")]
                if len(args) == 2:
                    check = ast.Name(id=called_name(function), ctx=ast.Load())
                    same = ast.Call(func=check, args=args[1:], keywords=others)
                    return ast.Assert(test=ast.Compare(left=args[0], ops=[ast.Eq()], comparators=[same]), msg=None)
            case ast.Call(func=ast.Attribute(attr="fail", value=ast.Name(id="self"))):
                return ast.Assert(test=ast.Constant(value=False), msg=None)
            case ast.Call(func=ast.Attribute(attr="fail", value=ast.Name(id="pytest")), args=args, keywords=keywords):
                said = [*args, *(word.value for word in keywords if word.arg in ("reason", "msg"))]
                return _failed(next(iter(said), ast.Constant(value="")))
            case ast.Call(func=ast.Attribute(attr=name), args=[error, function, *args], keywords=keywords) if (
                name in _RAISES and not (name == "assertRaisesRegex" and len(args) == 0)
            ):
                pattern = function if name == "assertRaisesRegex" else None
                if pattern is not None:
                    function, args = args[0], args[1:]
                call = ast.Call(func=function, args=args, keywords=keywords)
                return _must_raise([ast.Expr(value=call)], error, pattern, is_pytest=name == "raises")
        return node

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        match node.items:
            case [ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="subTest")))]:
                return node.body
            case [
                ast.withitem(
                    context_expr=ast.Call(func=function, args=[error, *rest], keywords=words), optional_vars=name
                )
            ]:
                known = {word.arg for word in words} <= {"match", "expected_regex", "msg"}
                if called_name(function) in _RAISES and known:
                    named = [word.value for word in words if word.arg in ("match", "expected_regex")]
                    given = rest if called_name(function) == "assertRaisesRegex" else []
                    pattern = next(iter([*given, *named]), None)
                    is_pytest = called_name(function) == "raises"
                    found = _must_raise(node.body, error, pattern, name, is_pytest=is_pytest)
                    return _with_others(found, self._attributes) if isinstance(name, ast.Name) else found
        return node


class _Lowered(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        match node:
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as operator], comparators=[right]):
                for value, close in ((left, right), (right, left)):
                    if isinstance(close, ast.Call) and called_name(close.func) in CLOSENESS_CALLS and close.args:
                        self.generic_visit(close)
                        test = _close(self.visit(value), close)
                        return test if isinstance(operator, ast.Eq) else ast.UnaryOp(op=ast.Not(), operand=test)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Replace `approx(v)` inside a value, as in `f() == [approx(0.3), 1]`, by an object that close values equal."""
        self.generic_visit(node)
        if called_name(node.func) != "approx" or not node.args:
            return node
        wanted, node.args[0] = ast.unparse(node.args[0]), ast.Name(id="__wanted__", ctx=ast.Load())
        equal = ast.unparse(_close(ast.Name(id="__value__", ctx=ast.Load()), node))
        methods = f"{{'__eq__': lambda __self__, __value__, __wanted__={wanted}: {equal}, '__hash__': None}}"
        return expression_tree(f"__builtins__['type']('approx', (), {methods})()")


def _close(value: ast.expr, close: ast.Call) -> ast.expr:
    """Return the comparison of a value with a closeness call as a call of a lambda."""
    if (name := called_name(close.func)) in PANDAS_CHECKS:
        function = ast.parse(f"__builtins__['__import__']('pandas').testing.{name}", mode="eval").body
        call = ast.Call(func=function, args=[value, close.args[0]], keywords=close.keywords)
        return ast.Compare(left=call, ops=[ast.Is()], comparators=[ast.Constant(value=None)])
    names = ("rel", "abs", "nan_ok") if called_name(close.func) == "approx" else ("places",)
    arguments_by_name = dict(zip(names, close.args[1:], strict=False))
    arguments_by_name |= {str(keyword.arg): keyword.value for keyword in close.keywords}
    text = {name: ast.unparse(item) for name, item in arguments_by_name.items()}
    if called_name(close.func) == "approx":
        relative = text.get("rel", "0" if "abs" in text else "1e-06")
        body = f"(lambda value, wanted, relative, absolute, nan_ok: {_SAME})"
        arguments = [relative, text.get("abs", "1e-12"), text.get("nan_ok", "False")]
    elif "delta" in text:
        body = "(lambda value, wanted, delta: value == wanted or (value - wanted).__abs__() <= delta)"
        arguments = [text["delta"]]
    else:
        body = "(lambda value, wanted, places: value == wanted or (value - wanted).__abs__().__round__(places) == 0)"
        arguments = [text.get("places", "7")]
    source = f"{body}({', '.join([ast.unparse(value), ast.unparse(close.args[0]), *arguments])})"
    return expression_tree(source)


def raised_closeness(test: ast.expr) -> ast.Compare | None:
    """Find the comparison of which `lower_closeness` made a call.

    Args:
        test: The call.

    Returns:
        The comparison with `approx` or `almost_equal`; None if this is no such call.
    """
    match test:
        case ast.Call(func=ast.Lambda(args=ast.arguments(args=parameters)), args=[value, wanted, *rest], keywords=[]):
            names = tuple(one.arg for one in parameters[2:])
        case _:
            return None
    if names not in _CLOSE or len(rest) != len(names):
        return None
    function, defaults = _CLOSE[names]
    words = [
        ast.keyword(arg={"relative": "rel", "absolute": "abs"}.get(name, name), value=item)
        for name, item, default in zip(names, rest, defaults, strict=True)
        if ast.unparse(item) != default
    ]
    if "abs" in [word.arg for word in words]:  # without a relative tolerance it counts alone
        words = [word for word in words if word.arg != "rel" or ast.unparse(word.value) != "0"]
    close = ast.Call(func=ast.Name(id=function, ctx=ast.Load()), args=[wanted], keywords=words)
    back = ast.Compare(left=value, ops=[ast.Eq()], comparators=[close])
    return back if ast.unparse(_close(value, close)) == ast.unparse(test) else None


def _almost(operator: ast.cmpop, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.stmt | None:
    """Return the assertion of `assertAlmostEqual`; None if its arguments are not given explicitly, or contradict."""
    named = {str(keyword.arg): keyword.value for keyword in keywords}
    values = [*arguments[:2], *(named[name] for name in ("first", "second") if name in named)]
    if len(values) != 2:
        return None
    named |= dict(zip(("places", "msg", "delta"), arguments[2:], strict=False))
    named = {name: value for name, value in named.items() if ast.unparse(value) != "None"}
    kept = [ast.keyword(arg=name, value=named[name]) for name in ("places", "delta") if name in named]
    if len(kept) == 2:  # unittest refuses both
        return None
    value, expected = reversed(values) if isinstance(values[0], ast.Constant | ast.UnaryOp) else values
    close = ast.Call(func=ast.Name(id="almost_equal", ctx=ast.Load()), args=[expected], keywords=kept)
    return ast.Assert(test=ast.Compare(left=value, ops=[operator], comparators=[close]), msg=None)


def _is_check(node: ast.expr) -> bool:
    """Tell whether an expression compares its own arguments."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) if name in TEMPLATES or name in _ALMOST:
            return True
        case ast.Call(func=function):
            return called_name(function) in PANDAS_CHECKS
    return False


def _expression(template: str, arguments: Iterable[ast.expr]) -> ast.expr:
    source = template.format(*(f"({ast.unparse(argument)})" for argument in arguments))
    return expression_tree(source)


def _with_others(statements: list[ast.stmt], attributes: Set[str]) -> list[ast.stmt]:
    """Give the object that a caught error is bound to the less usual attributes that tests use."""
    for holder in (node for one in statements for node in ast.walk(one) if isinstance(node, ast.ClassDef)):
        lines = [line for name, line in _OTHERS.items() if name in attributes and "_error_" in ast.unparse(holder)]
        holder.body += ast.parse("\n".join(lines)).body
    return statements


def _failed(message: ast.expr) -> ast.stmt:
    """Return a statement that fails as `pytest.fail` does."""
    return ast.Raise(exc=ast.Call(func=ast.parse(_FAILED, mode="eval").body, args=[message], keywords=[]), cause=None)


def _must_raise(
    body: list[ast.stmt],
    error: ast.expr,
    pattern: ast.expr | None = None,
    name: ast.expr | None = None,
    *,
    is_pytest: bool,
) -> list[ast.stmt]:
    """Wrap the body in a `try` that fails if nothing is raised.

    If a name is given, the error is bound to it as pytest (`value`) and unittest (`exception`) provide it.
    """
    message = ast.Constant(value=f"{ast.unparse(error)} was not raised")
    handler: list[ast.stmt] = []
    if pattern is not None:
        test = _expression("__builtins__['__import__']('re').search({0}, _error_.__str__())", [pattern])
        handler.append(ast.Assert(test=test, msg=None))
    if isinstance(name, ast.Name):
        holder = (
            f"class {name.id}:\n    value = exception = _error_\n    type = _error_.__class__\n"
            "    typename = _error_.__class__.__name__\n    def match(pattern):\n"
            f"        assert __builtins__['__import__']('re').search(pattern, {name.id}.value.__str__())\n"
            "        return True"
        )
        handler += ast.parse(holder).body
    caught = ast.ExceptHandler(type=error, name="_error_" if handler else None, body=handler or [ast.Pass()])
    not_raised = _failed(message) if is_pytest else ast.Assert(test=ast.Constant(value=False), msg=message)
    return [ast.Try(body=body, handlers=[caught], orelse=[not_raised], finalbody=[])]
