"""Calls on which a surviving mutant is compared with the reference, to presume that it does the same.

They only have to be told from the reference, so they are few, with small values that every program ends on; a score
rests on which they are. Calls that become cases of a suite are made in `variations.py`.
"""

import ast
from collections.abc import Iterator, Sequence

from plum_hub.records import TestCase, TestSuite
from plum_hub.strength.literals import PlainLiteral, constants_of, is_builtin_literal
from plum_hub.strength.sites import sites
from plum_hub.strength.turns import in_turn

MOST = 100
"""Calls of one suite."""
_VARIED = (ast.List, ast.Tuple, ast.Constant)
_LONGEST = 2_000
"""Characters of an expression; longer ones are not varied."""


def comparison_calls(suite: TestSuite) -> list[str]:
    """List calls of a suite's entry point.

    They are the calls of its cases, the calls with literal arguments in its statements, and variations of both in which
    one literal is another: a number one larger or smaller, negated or 0; a string or list that is empty, reversed,
    shorter or doubled; the other truth value; and the numbers and strings that stand in the reference, at whose values
    it is likely to decide something.

    Args:
        suite: The suite.

    Returns:
        At most `MOST` distinct expressions: first those of the suite, then a first variation of each, and so on. None
        for a script, whose input is text.
    """
    known = list(dict.fromkeys(call for case in suite.cases for call in _calls(case, suite.entry_point)))
    found = dict.fromkeys(known[: MOST // 2])
    constants = constants_of(suite.reference)
    for call in in_turn([_changed(call, constants) for call in found]):
        if len(found) >= MOST:
            break
        found[call] = None
    return list(found)


def _calls(case: TestCase, entry_point: str) -> Iterator[str]:
    if case.call is not None:
        yield case.call
    elif case.statement is not None:
        for node in ast.walk(ast.parse(case.statement)):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id == entry_point and _has_literal_arguments(node):
                yield ast.unparse(node)


def _has_literal_arguments(call: ast.AST) -> bool:
    assert isinstance(call, ast.Call)
    return all(map(is_builtin_literal, [*call.args, *(keyword.value for keyword in call.keywords)]))


def _changed(call: str, constants: Sequence[PlainLiteral]) -> Iterator[str]:
    """Yield the call with another literal in one place; first one change of each place, then others."""
    if len(call) > _LONGEST:
        return
    text = ast.unparse(ast.parse(call, mode="eval"))
    tree, encoded = ast.parse(text, mode="eval"), text.encode()

    def at(node: ast.expr) -> Iterator[str]:
        before, after = encoded[: node.col_offset].decode(), encoded[node.end_col_offset :].decode()
        return (f"{before}{ast.unparse(other)}{after}" for other in _others(node, constants))

    yield from in_turn([at(site.node) for site in sites(tree) if isinstance(site.node, _VARIED)])


def _others(node: ast.AST, constants: Sequence[PlainLiteral]) -> Iterator[ast.expr]:
    if isinstance(node, ast.List | ast.Tuple):
        kind = type(node)
        yield kind(elts=node.elts[1:], ctx=ast.Load())
        yield kind(elts=node.elts[::-1], ctx=ast.Load())
        yield kind(elts=[*node.elts, *node.elts], ctx=ast.Load())
        yield kind(elts=[], ctx=ast.Load())
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value=value) for value in _values(node.value, constants))


def _values(value: object, constants: Sequence[PlainLiteral]) -> Iterator[PlainLiteral]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, -value, *(one for one in constants if type(one) is int), value - 1, 0)
    elif isinstance(value, float):
        yield from (value + 1, -value, *(float(one) for one in constants if not isinstance(one, str)), 0.0)
    elif isinstance(value, str):
        texts = [one for one in constants if isinstance(one, str)]
        yield from (value[::-1], value.swapcase(), *texts, value[1:], value + value, "")
