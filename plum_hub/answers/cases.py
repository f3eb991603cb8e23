"""Test code as test cases: functions, classes, loops and tables are unrolled; what a check needs goes with it.

Nothing is run. A variable is replaced by its value where that cannot change what is tested, so that
`result = f(1)` and `assert result == 2` become the call `f(1)` and the value 2. Where state is built up step by step
(`s = Stack()`, `s.push(1)`, `assert s.pop() == 1`) all the steps become one statement.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from plum_hub.answers.assertions import is_assertion, is_literal, read_assertion
from plum_hub.answers.plain import to_plain
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, stored_names, substitute, unparse
from plum_hub.records import TestCase

_MOST_ROWS = 64
"""A longer table than this is left as the loop it is."""


@dataclass(eq=False)
class _Steps:
    """Statements that share state, each with its place in the source, and whether one of them is a check."""

    statements: list[tuple[int, ast.stmt]] = field(default_factory=list)
    checks: bool = False


def read_cases(body: Sequence[ast.stmt], stateless: frozenset[str]) -> list[TestCase]:
    """The cases in the statements of a test module, in their order.

    Args:
        body: top-level statements of the tests.
        stateless: names whose calls give an object that keeps no state, so that one can stand for another.
    """
    return list(_Scope(stateless, {}).cases(body))


class _Scope:
    """One sequence of statements, and the variables whose values are known so far."""

    def __init__(self, stateless: frozenset[str], values: Mapping[str, ast.expr]) -> None:
        self._stateless = stateless
        self._values = dict(values)
        self._owner: dict[str, _Steps] = {}
        self._found: list[list[TestCase] | _Steps] = []

    def cases(self, statements: Sequence[ast.stmt]) -> Iterator[TestCase]:
        body = list(_flattened(statements))
        for place, original in enumerate(body):
            self._read(original, place, body)
        for item in self._found:
            if isinstance(item, list):
                yield from item
            elif item.statements:
                ordered = sorted(item.statements, key=lambda step: step[0])
                yield TestCase(kind="statement", statement=unparse(step for _, step in ordered))

    def _read(self, original: ast.stmt, place: int, body: list[ast.stmt]) -> None:
        scopes = _inner_scopes(original, body, self._values)
        if scopes is not None and not loaded_names(original) & self._owner.keys():
            self._found += [list(_Scope(self._stateless, self._values).cases(inner)) for inner in scopes]
            return
        if isinstance(original, DefinitionNode):
            return  # a helper: whoever reads the tests gives it to the cases that use it
        statement = to_plain(substitute(original, self._values))
        for name in stored_names(statement):
            self._values.pop(name, None)
        if (bound := _simple(statement)) is not None and self._may_replace(*bound, body[place + 1 :]):
            self._values[bound[0]] = bound[1]
            self._owner.pop(bound[0], None)
        elif is_assertion(statement) and not loaded_names(statement) & self._owner.keys():
            self._found.append(list(read_assertion(statement)))
        else:
            self._add_step(statement, place)

    def _may_replace(self, name: str, value: ast.expr, rest: list[ast.stmt]) -> bool:
        """Whether a variable can give way to its value: nothing changes it later, and a fresh one is as good."""
        if loaded_names(value) & self._owner.keys():
            return False
        uses, by_attribute = 0, False
        for statement in rest:
            here = sum(
                isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) for n in ast.walk(statement)
            )
            if here and not (is_assertion(statement) or _simple(statement) is not None):
                return False
            uses += here
            by_attribute = by_attribute or any(
                isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name
                for n in ast.walk(statement)
            )
            if name in stored_names(statement):
                break
        made_by = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        return uses <= 1 or not by_attribute or made_by in self._stateless or is_literal(value)

    def _add_step(self, statement: ast.stmt, place: int) -> None:
        """Put a statement with those whose variables it uses."""
        owners = [self._owner[name] for name in sorted(loaded_names(statement) & self._owner.keys())]
        steps = owners[0] if owners else _Steps()
        for other in owners[1:]:
            if other is not steps:
                steps.statements += other.statements
                steps.checks = steps.checks or other.checks
                other.statements = []
                self._owner = {name: steps if owner is other else owner for name, owner in self._owner.items()}
        steps.statements.append((place, statement))
        steps.checks = steps.checks or is_assertion(statement)
        if steps.checks and steps not in self._found:
            self._found.append(steps)
        for name in stored_names(statement):
            self._owner[name] = steps


def _flattened(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements without imports, prints, main guards, subTest and `except AssertionError` around them."""
    for statement in statements:
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), body=body):
                yield from _flattened(body)
            case ast.Try(body=body, handlers=[ast.ExceptHandler(type=ast.Name(id="AssertionError"))]):
                yield from _flattened(body)
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="subTest")))], body=body):
                yield from _flattened(body)
            case ast.Expr(value=ast.Constant() | ast.Call(func=ast.Name(id="print"))) | ast.Pass():
                pass
            case ast.Import() | ast.ImportFrom():
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="unittest" | "pytest"), attr="main"))):
                pass
            case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
                yield _assign(target, value)
            case ast.Assign(targets=[ast.Tuple() as target], value=value) if parts := _unpacked(target, value):
                yield from parts
            case _:
                yield statement


def _inner_scopes(
    statement: ast.stmt, body: list[ast.stmt], values: Mapping[str, ast.expr]
) -> list[list[ast.stmt]] | None:
    """The bodies of a test function, of a test class's methods or of a loop over a table, with their variables bound
    by assignments in front; None for any other statement, and for a loop whose rows are not written out."""
    if not is_assertion(statement):
        return None
    match statement:
        case ast.ClassDef(body=items):
            methods = [item for item in items if isinstance(item, FunctionNode)]
            prepared = [step for item in methods if item.name in ("setUp", "setup_method") for step in item.body]
            tests = [item for item in methods if item.name.startswith("test")]
            return [[_SelfAsNames().visit(deepcopy(step)) for step in [*prepared, *test.body]] for test in tests]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return _function_scopes(statement, body)
        case ast.For(target=target, iter=table, body=inner):
            rows = _rows(substitute(table, values))
            bindings = None if rows is None else [_unpacked(target, row) for row in rows]
            if bindings is None or not all(bindings):
                return None
            return [[*binding, *inner] for binding in bindings if binding]
    return None


def _function_scopes(function: ast.FunctionDef | ast.AsyncFunctionDef, body: list[ast.stmt]) -> list[list[ast.stmt]]:
    """One body for each row of `parametrize`, or for each call that the tests make of a function with parameters;
    none where nothing says what the parameters are."""
    parameters = [argument.arg for argument in function.args.args]
    scopes: list[list[ast.stmt]] = [[]]
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[names, table, *_]):
                rows = [_unpacked(_parametrized(names), row) or [] for row in _rows(table) or []]
                scopes = [[*scope, *row] for scope in scopes for row in rows]
    if parameters and scopes == [[]]:
        calls = [step.value for step in body if isinstance(step, ast.Expr) and isinstance(step.value, ast.Call)]
        given = [call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id == function.name]
        target = ast.Tuple(elts=_names(parameters), ctx=ast.Store())
        scopes = [_unpacked(target, ast.Tuple(elts=row, ctx=ast.Load())) or [] for row in given]
    bound = [scope for scope in scopes if len(scope) >= len(parameters)]
    return [[*scope, *function.body] for scope in bound]


def _parametrized(names: ast.expr) -> ast.expr:
    """The target that `parametrize("a, b", ...)` or `parametrize(["a", "b"], ...)` binds."""
    match names:
        case ast.Constant(value=str(text)) if "," not in text:
            return _names([text.strip()])[0]
        case ast.Constant(value=str(text)):
            return ast.Tuple(elts=_names([name.strip() for name in text.split(",") if name.strip()]), ctx=ast.Store())
        case ast.List(elts=items) | ast.Tuple(elts=items):
            texts = [str(item.value) for item in items if isinstance(item, ast.Constant)]
            return ast.Tuple(elts=_names(texts), ctx=ast.Store())
    return names


def _names(names: list[str]) -> list[ast.expr]:
    return [ast.Name(id=name, ctx=ast.Store()) for name in names]


def _rows(table: ast.expr) -> list[ast.expr] | None:
    """The items that a loop over the expression visits, where they are written out in it."""
    match table:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) if len(items) <= _MOST_ROWS:
            return [_row(item) for item in items]
        case ast.Call(func=ast.Attribute(value=ast.Dict(keys=keys, values=values), attr="items"), args=[]):
            pairs = [(key, value) for key, value in zip(keys, values, strict=True) if key is not None]
            return [ast.Tuple(elts=list(pair), ctx=ast.Load()) for pair in pairs[:_MOST_ROWS]]
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *start]) if (rows := _rows(inner)) is not None:
            first = start[0].value if start and isinstance(start[0], ast.Constant) else 0
            numbers = (
                [ast.Constant(value=index + first) for index in range(len(rows))] if isinstance(first, int) else []
            )
            return [ast.Tuple(elts=[number, row], ctx=ast.Load()) for number, row in zip(numbers, rows, strict=False)]
        case ast.Call(func=ast.Name(id="zip"), args=columns):
            tables = [_rows(column) for column in columns]
            if all(rows is not None for rows in tables):
                together = zip(*(rows for rows in tables if rows is not None), strict=False)
                return [ast.Tuple(elts=list(row), ctx=ast.Load()) for row in together]
    return None


def _row(item: ast.expr) -> ast.expr:
    """`pytest.param(1, 2, id="x")` is the row (1, 2)."""
    match item:
        case ast.Call(func=ast.Attribute(attr="param"), args=[only]):
            return only
        case ast.Call(func=ast.Attribute(attr="param"), args=values):
            return ast.Tuple(elts=values, ctx=ast.Load())
    return item


def _simple(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """The name and the value of `name = value`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
    return None


def _unpacked(target: ast.expr, value: ast.expr) -> list[ast.stmt] | None:
    """`a, (b, c) = 1, (2, 3)` as one assignment a name; None where the shapes differ or are not written out."""
    match target, value:
        case ast.Name(), _:
            return [_assign(target, value)]
        case (ast.Tuple(elts=names) | ast.List(elts=names), ast.Tuple(elts=values) | ast.List(elts=values)) if len(
            names
        ) == len(values):
            parts = [_unpacked(name, item) for name, item in zip(names, values, strict=True)]
            return None if None in parts else [step for part in parts if part for step in part]
    return None


def _assign(target: ast.expr, value: ast.expr) -> ast.stmt:
    return ast.fix_missing_locations(ast.Assign(targets=[target], value=value))


class _SelfAsNames(ast.NodeTransformer):
    """`self.stack` becomes `self_stack`; a test class's own checks stay as they are."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ctx) if not name.startswith(
                ("assert", "subTest")
            ):
                return ast.Name(id=f"self_{name}", ctx=ctx)
        return node
