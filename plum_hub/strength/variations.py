"""Type-aware variations of the calls of a suite, to become cases of it: inputs that may do what no case does yet.

The idea is that of EvalPlus (Liu et al., 2023, arXiv 2305.01210, section 2.1): an input is changed so that its type
stays as it was, and values of one input are taken over into another. Only arguments of the entry point are changed.
What stands around the call, as in `round(f(2.5), 2)`, says what the suite compares, and stays.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from plum_hub.answers.source import parse
from plum_hub.records import TestCase, TestSuite
from plum_hub.strength.literals import constants_of, is_builtin_literal
from plum_hub.strength.sites import Site
from plum_hub.strength.turns import in_turn

MOST = 200
"""Variations of one suite."""
_LONGEST = 2_000
"""Characters of a call; longer ones are not varied, and none becomes longer."""
_Place: TypeAlias = tuple[str, int | str | None]
"""A parameter: name of the function or method, and position or keyword of the argument."""
_LARGE = 10**8
"""What makes a number large; its square is beyond the integers that a float holds."""
_VERY_LARGE = re.compile(r"[0-9]{8}")
_Sequence = (ast.List, ast.Tuple, ast.Set)


@dataclass(frozen=True)
class VariedCall:
    """A call that the suite does not have.

    Attributes:
        call: Python source.
        origin: The case that it was made from.
    """

    call: str
    origin: TestCase


@dataclass(frozen=True)
class _Pool:
    """Values that may stand for others of their type."""

    integers: list[int] = field(default_factory=list)
    floats: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    arguments: dict[_Place, list[ast.expr]] = field(default_factory=dict)
    """What the suite passes for each parameter."""


def variations(suite: TestSuite, *, most: int = MOST) -> list[VariedCall]:
    """Vary the calls of a suite.

    Each has one change: a number larger, very large, smaller, negated, 0, or one that stands in the reference or in
    another input; a text with white space, another case, a digit or a letter beyond ASCII; a text or collection without
    an element, with one twice, in another order, doubled or empty; an argument of another case.

    Args:
        suite: The suite.
        most: Largest number of variations.

    Returns:
        Distinct calls that no case has, those with very large numbers last, since the reference may not end on them;
        none for a script. Equal suites give equal ones on every machine.
    """
    origins = [(call, case) for case in suite.cases if (call := _call(case, suite.entry_point)) is not None]
    pool = _pool(suite, [call for call, _ in origins])
    seen = {ast.unparse(call) for call, _ in origins} | {case.call for case in suite.cases}
    found: list[VariedCall] = []
    for one in in_turn([_made(call, case, suite.entry_point, pool) for call, case in origins]):
        if len(found) >= most:
            break
        if one.call not in seen:
            seen.add(one.call)
            found.append(one)
    return sorted(found, key=lambda one: bool(_VERY_LARGE.search(one.call)))  # stable


def _call(case: TestCase, entry_point: str) -> ast.Expression | None:
    """Return the expression whose value a case compares; None if a value would say more than the case does."""
    tree = parse(case.call or case.statement or "")
    if tree is None or len(tree.body) != 1 or len(case.call or case.statement or "") > _LONGEST:
        return None
    match tree.body[0]:
        case ast.Expr(value=value) if case.kind == "call":
            return ast.Expression(body=value)
        case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            called = [one for one in (left, right) if isinstance(one, ast.Call) and _callee(one) == (entry_point, True)]
            return ast.Expression(body=called[0]) if called else None
    return None


def _callee(call: ast.Call) -> tuple[str, bool]:
    """Return the name at the root of a call, as `f` of `f(1).g(2)`, and whether it is called itself."""
    function: ast.expr = call.func
    while isinstance(function, ast.Attribute | ast.Call):
        function = function.value if isinstance(function, ast.Attribute) else function.func
    return function.id if isinstance(function, ast.Name) else "", function is call.func


def _arguments(tree: ast.Expression, entry_point: str) -> Iterator[tuple[_Place, Site]]:
    """Yield the literal arguments of the entry point, and of the methods of what it returns."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not entry_point or _callee(node)[0] != entry_point:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        for number, argument in enumerate(node.args):
            if is_builtin_literal(argument):
                yield (name, number), Site(node, "args", number, argument)
        for keyword in node.keywords:
            if is_builtin_literal(keyword.value):
                yield (name, keyword.arg), Site(keyword, "value", None, keyword.value)


def _pool(suite: TestSuite, calls: Sequence[ast.Expression]) -> _Pool:
    pool = _Pool()
    constants: list[object] = [*constants_of(suite.reference)]
    for call in calls:
        for place, site in _arguments(call, suite.entry_point):
            pool.arguments.setdefault(place, []).append(_expression(site.node))
            constants += (node.value for node in ast.walk(site.node) if isinstance(node, ast.Constant))
    distinct = dict.fromkeys((type(value), value) for value in constants if isinstance(value, int | float | str))
    for kind, value in distinct:
        if isinstance(value, str):
            pool.texts.append(value)
        elif isinstance(value, float):
            pool.floats.append(value)
        elif kind is int:
            pool.integers.append(value)
    return pool


def _made(tree: ast.Expression, origin: TestCase, entry_point: str, pool: _Pool) -> Iterator[VariedCall]:
    """Yield the call with one argument changed, of each argument in turn."""

    def changed(place: _Place, site: Site) -> Iterator[VariedCall]:
        node = _expression(site.node)
        others = (one for one in pool.arguments.get(place, ()) if type(one) is type(node))
        for other in in_turn([_variants(node, pool), others]):
            call = site.source_with(other, tree)
            if len(call) <= _LONGEST:
                yield VariedCall(call, origin)

    yield from in_turn([changed(place, site) for place, site in list(_arguments(tree, entry_point))])


def _variants(node: ast.expr, pool: _Pool) -> Iterator[ast.expr]:
    """Yield expressions of the type of a literal: with a change of its own, and with one in an element, in turn."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            yield from map(_constant, _numbers(-value, pool))
        case ast.Constant(value=bool() as value):
            yield _constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from map(_constant, _numbers(value, pool))
        case ast.Constant(value=str() as text):
            yield from map(_constant, [text[1:], text[:-1], text[::-1], text + text[:1]])
            yield from map(_constant, ["\t".join((text, text)), text + "\n", *pool.texts])
            yield from map(_constant, [text.swapcase(), text + text, text[:1], " ".join((text, text)), ""])
            yield from map(_constant, [f"{text}7", f"{text}_", f"{text}é", text.upper(), text.lower()])
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            inner = [_with_variant(node, place, pool) for place in range(len(items))]
            yield from in_turn([_rearranged(node, items), in_turn(inner)])
        case ast.Dict(keys=keys, values=values):
            pairs = list(zip(keys, values, strict=True))
            shorter: list[list[tuple[ast.expr | None, ast.expr]]]
            shorter = [pairs[1:], pairs[:-1], pairs[::-1], pairs[:1], []]
            inner = [_with_entry(pairs, place, pool) for place in range(len(pairs))]
            yield from in_turn([map(_dictionary, shorter), in_turn(inner)])


def _numbers(value: int | float, pool: _Pool) -> Iterator[int | float]:
    yield from (value + 1, value - 1)
    yield from (_LARGE + value, _LARGE**2 + value) if isinstance(value, int) else (_LARGE * value,)
    yield from pool.integers if isinstance(value, int) else pool.floats
    yield from (value * 2, value * 10, -value, type(value)(0), value + 100)


def _rearranged(node: ast.expr, items: list[ast.expr]) -> Iterator[ast.expr]:
    """Yield a collection with other elements of its own. A set has no order, and what is empty cannot be rearranged."""
    orders = [items[1:], items[:-1], items[::-1], items + items[:1], [*items[:1], *items], items + items, items[:1], []]
    middle = len(items) // 2
    orders[3:3] = [items[:middle] + items[middle + 1 :], items[:middle] + items[middle:][::-1]]
    for order in orders if items else ():
        yield _collection(node, order)


def _with_variant(node: ast.expr, place: int, pool: _Pool) -> Iterator[ast.expr]:
    assert isinstance(node, _Sequence)
    for other in _variants(node.elts[place], pool):
        yield _collection(node, [*node.elts[:place], other, *node.elts[place + 1 :]])


def _with_entry(pairs: list[tuple[ast.expr | None, ast.expr]], place: int, pool: _Pool) -> Iterator[ast.expr]:
    key, value = pairs[place]
    values = ((key, other) for other in _variants(value, pool))
    keys = ((other, value) for other in (_variants(key, pool) if key is not None else ()))
    for pair in in_turn([values, keys]):
        yield _dictionary([*pairs[:place], pair, *pairs[place + 1 :]])


def _dictionary(pairs: Iterable[tuple[ast.expr | None, ast.expr]]) -> ast.expr:
    found = list(pairs)
    return ast.Dict(keys=[key for key, _ in found], values=[value for _, value in found])


def _collection(node: ast.expr, items: list[ast.expr]) -> ast.expr:
    if isinstance(node, ast.Set):
        return ast.Set(elts=items) if items else ast.Call(func=ast.Name("set", ast.Load()), args=[], keywords=[])
    return ast.List(items, ast.Load()) if isinstance(node, ast.List) else ast.Tuple(items, ast.Load())


def _constant(value: bool | int | float | str) -> ast.expr:
    return ast.Constant(value=value)


def _expression(node: ast.AST) -> ast.expr:
    assert isinstance(node, ast.expr)
    return node
