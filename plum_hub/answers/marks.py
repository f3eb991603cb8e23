"""Read the marks of tests: skipped, expected to fail, and with fixtures that they do not name as parameters.

What a mark depends on has to be known before a program runs: otherwise a program could decide that it is not tested.
"""

import ast
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from plum_hub.answers.plain import called_name
from plum_hub.answers.source import DefinitionNode, parse

_NODES = (
    ast.Expression, ast.Constant, ast.Tuple, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Subscript, ast.Slice, ast.Name,
    ast.Attribute, ast.Call, ast.cmpop, ast.boolop, ast.unaryop, ast.expr_context,
)  # fmt: skip
_KNOWN = {"sys": sys, "os": os, "platform": platform}
_ATTRIBUTES = frozenset({
    "version_info", "platform", "name", "major", "minor", "micro", "maxsize", "implementation", "startswith", "system",
    "python_implementation", "byteorder",
})  # fmt: skip
_ANY_FAILURE = "__builtins__['BaseException']"


@dataclass(frozen=True)
class ExpectedFailure:
    """A test that is to fail."""

    error: str
    """The exceptions by which it may, as source."""
    strict: bool
    """Whether it has to."""

    @property
    def shows_nothing(self) -> bool:
        """Whether such a test holds whatever the program does."""
        return not self.strict and self.error == _ANY_FAILURE


@dataclass(frozen=True)
class Marks:
    """The marks of a test, in effect."""

    is_skipped: bool = False
    failure: ExpectedFailure | None = None
    fixtures: tuple[str, ...] = ()
    """Fixtures that run before it."""


def read_marks(expressions: Iterable[ast.expr]) -> Marks:
    """Read decorators, or the items of `pytestmark` or `marks=`. Marks without an effect of their own are ignored.

    Args:
        expressions: The marks, the nearest to the test first.

    Returns:
        Their effect.

    Raises:
        ValueError: It depends on what is not known before the tests run.
    """
    skipped, failure, fixtures = False, None, list[str]()
    for mark in expressions:
        call = mark if isinstance(mark, ast.Call) else ast.Call(func=mark, args=[], keywords=[])
        words = {str(word.arg): word.value for word in call.keywords}
        match called_name(call.func):
            case "skip":
                skipped = True
            case "skipif" | "skipIf":
                skipped = skipped or any(map(holds, [*call.args[:1], *_condition(words)]))
            case "skipUnless":
                skipped = skipped or not all(map(holds, [*call.args[:1], *_condition(words)]))
            case "filterwarnings" if any(_makes_errors(item) for item in call.args):
                raise ValueError(
                    f"line {getattr(mark, 'lineno', 0)}: a filter that makes errors of warnings is not supported: "
                    "use pytest.warns"
                )
            case "usefixtures":
                fixtures += [str(item.value) for item in call.args if isinstance(item, ast.Constant)]
            case "expectedFailure" if failure is None:
                failure = ExpectedFailure(_ANY_FAILURE, strict=True)
            case "xfail" if failure is None:
                conditions = [*call.args, *_condition(words)]
                if not conditions or any(map(holds, conditions)):
                    failure = _expected_failure(words)
    return Marks(skipped, failure, tuple(fixtures))


def marks_of(value: ast.expr) -> list[ast.expr]:
    """Return the marks of `pytestmark = ...` or `marks=...`, one or several.

    Args:
        value: The value.

    Returns:
        The marks.
    """
    match value:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return list(items)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*marks_of(left), *marks_of(right)]
    return [value]


def assigned_marks(body: Iterable[ast.stmt]) -> list[ast.expr]:
    """Find the marks that a module or class gives all its tests by `pytestmark`.

    Args:
        body: Its statements.

    Returns:
        The marks.

    Raises:
        ValueError: They are not written out.
    """
    marks: list[ast.expr] = []
    for node in filter(is_marking, body):
        match node:
            case (
                ast.Assign(targets=[ast.Name()], value=value)
                | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
            ):
                marks = marks_of(value)
            case (
                ast.AugAssign(target=ast.Name(), op=ast.Add(), value=value)
                | ast.Expr(value=ast.Call(func=ast.Attribute(attr="append" | "extend"), args=[value]))
            ):
                marks = [*marks, *marks_of(value)]
            case _:
                marks = [ast.Name(id="pytestmark")]
        if not all(isinstance(mark, ast.Attribute | ast.Call) for mark in marks):
            raise ValueError(f"line {node.lineno}: pytestmark is not a list of marks: write them out")
    return marks


def is_marking(node: ast.stmt) -> bool:
    """Tell whether a statement has to do with `pytestmark`.

    Args:
        node: A statement of a module or class.

    Returns:
        False for definitions.
    """
    if isinstance(node, DefinitionNode):
        return False
    return any(isinstance(item, ast.Name) and item.id == "pytestmark" for item in ast.walk(node))


def _makes_errors(filter_: ast.expr) -> bool:
    return not isinstance(filter_, ast.Constant) or str(filter_.value).strip().startswith("e")


def _condition(words: dict[str, ast.expr]) -> list[ast.expr]:
    return [words["condition"]] if "condition" in words else []


def _expected_failure(words: dict[str, ast.expr]) -> ExpectedFailure | None:
    error = ast.unparse(words["raises"]) if "raises" in words else _ANY_FAILURE
    if "run" in words and not holds(words["run"]):
        return ExpectedFailure(_ANY_FAILURE, strict=False)
    return ExpectedFailure(error, strict="strict" in words and holds(words["strict"]))


def holds(condition: ast.expr) -> bool:
    """Evaluate a condition on the Python version or the machine.

    Args:
        condition: The condition of a mark or of a skip.

    Returns:
        Whether it holds.

    Raises:
        ValueError: It depends on something else.
    """
    if isinstance(condition, ast.Constant) and isinstance(condition.value, str):
        tree = parse(condition.value)
        match tree:
            case ast.Module(body=[ast.Expr(value=inner)]):
                condition = inner
    if not all(
        isinstance(node, _NODES)
        and (not isinstance(node, ast.Name) or node.id in _KNOWN)
        and (not isinstance(node, ast.Attribute) or node.attr in _ATTRIBUTES)
        for node in ast.walk(condition)
    ):
        raise _unknown(condition)
    source = ast.unparse(condition)
    try:
        return bool(eval(source, {"__builtins__": {}, **_KNOWN}))
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise _unknown(condition) from error


def _unknown(condition: ast.expr) -> ValueError:
    return ValueError(
        f"line {getattr(condition, 'lineno', 0)}: a mark or skip depends on {ast.unparse(condition)[:80]!r}, "
        "which is not known before the tests run: remove it"
    )
