"""Convert test code to test cases by unrolling functions, classes, loops and tables.

Nothing is executed. A variable is replaced by its value where that cannot change what is tested: `result = f(1)`
followed by `assert result == 2` becomes the call `f(1)` with the value 2. Where state is built up step by step (`s
= Stack()`, `s.push(1)`, `assert s.pop() == 1`), all steps become one statement.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from plum_hub.answers.assertions import is_assertion, is_literal, read_assertion
from plum_hub.answers.plain import called_name, to_plain
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, stored_names, substitute, unparse
from plum_hub.records import TestCase

_MAX_ROWS = 64
"""A loop over a longer table is not unrolled."""
_SET_UP = ("setUpClass", "setup_class", "setUp", "setup_method")
_HARMLESS = frozenset({
    "abs", "all", "any", "approx", "bool", "dict", "float", "frozenset", "int", "isclose", "isinstance", "len", "list",
    "max", "min", "print", "range", "repr", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip", "enumerate",
})  # fmt: skip
"""Calls that neither change their arguments nor tell equal ones apart."""


@dataclass(eq=False)
class _Steps:
    """Statements that share state.

    Attributes:
        statements: Each statement with its position in the source.
        line: The first line of the first assertion; 0 without one.
    """

    statements: list[tuple[int, ast.stmt]] = field(default_factory=list)
    line: int = 0

    @property
    def checks(self) -> bool:
        return self.line > 0


def read_cases(body: Sequence[ast.stmt], stateless: frozenset[str]) -> list[tuple[TestCase, int]]:
    """Convert the statements of a test module to test cases.

    Args:
        body: Top-level statements of the tests.
        stateless: Names of classes without state, so that a new instance can replace an existing one.

    Returns:
        The cases in source order, each with the first line of the assertion that it comes from.
    """
    return list(_Scope(stateless, {}).cases(body))


class _Scope:
    """One sequence of statements with the variables whose values are known."""

    def __init__(self, stateless: frozenset[str], values: Mapping[str, ast.expr]) -> None:
        self._stateless = stateless
        self._values = dict(values)
        self._owner: dict[str, _Steps] = {}
        self._results: list[list[tuple[TestCase, int]] | _Steps] = []

    def cases(self, statements: Sequence[ast.stmt]) -> Iterator[tuple[TestCase, int]]:
        """Yield the cases of the statements in source order."""
        body = list(_flattened(statements))
        for position, original in enumerate(body):
            self._read(original, position, body)
        for item in self._results:
            if isinstance(item, list):
                yield from item
            elif item.statements:
                ordered = sorted(item.statements, key=lambda step: step[0])
                yield TestCase(kind="statement", statement=unparse(step for _, step in ordered)), item.line

    def _read(self, original: ast.stmt, position: int, body: list[ast.stmt]) -> None:
        scopes = _inner_scopes(original, body, self._values)
        if scopes is not None and not _used_names(original) & self._owner.keys():
            self._results += [list(_Scope(self._stateless, self._values).cases(inner)) for inner in scopes]
            return
        if isinstance(original, DefinitionNode):
            return  # a helper: the caller prepends it to the cases that use it
        statement = to_plain(substitute(original, self._values))
        for name in stored_names(statement):
            self._values.pop(name, None)
        if (bound := _simple(statement)) is not None and self._may_replace(*bound, body[position + 1 :]):
            self._values[bound[0]] = bound[1]
            self._owner.pop(bound[0], None)
        elif (
            is_assertion(statement)
            and not _used_names(statement) & self._owner.keys()
            and not any(_is_read(name, body[position + 1 :]) for name in stored_names(statement))
        ):
            self._results.append([(case, original.lineno) for case in read_assertion(statement)])
        else:
            self._add_step(statement, position, original.lineno)

    def _may_replace(self, name: str, value: ast.expr, rest: list[ast.stmt]) -> bool:
        """Return whether a value can replace a variable: nothing modifies it later, and a new object is equivalent."""
        if loaded_names(value) & self._owner.keys():
            return False
        if not any(name in loaded_names(statement) for statement in rest):
            return True
        uses, by_attribute, given = 0, False, False
        is_fixed = isinstance(value, ast.Constant)
        for statement in rest:
            count = sum(map(_reads(name), ast.walk(statement)))
            if _changes(statement, name) or (count and not (is_assertion(statement) or _simple(statement) is not None)):
                return False
            if not is_fixed and (_is_compared_by_identity(statement, name) or (given and _is_watched(statement, name))):
                return False
            uses += count
            given = given or _is_given(statement, name)
            by_attribute = by_attribute or any(
                isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == name
                for n in ast.walk(statement)
            )
            if name in stored_names(statement):
                break
        if uses <= 1 or is_literal(value):
            return True
        constructor = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        return constructor in self._stateless or not (by_attribute or given)

    def _add_step(self, statement: ast.stmt, position: int, line: int) -> None:
        """Add a statement to the steps that own the variables it uses, merging those steps if there are several."""
        owners = [self._owner[name] for name in sorted(_used_names(statement) & self._owner.keys())]
        steps = owners[0] if owners else _Steps()
        for other in owners[1:]:
            if other is not steps:
                steps.statements += other.statements
                steps.line = steps.line or other.line
                other.statements = []
                self._owner = {name: steps if owner is other else owner for name, owner in self._owner.items()}
        steps.statements.append((position, statement))
        if is_assertion(statement):
            steps.line = steps.line or line
        if steps.checks and steps not in self._results:
            self._results.append(steps)
        for name in stored_names(statement):
            self._owner[name] = steps


def _reads(name: str) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _used_names(statement: ast.AST) -> set[str]:
    """Return the names that a statement reads, those that it adds to among them."""
    added = (node.target for node in ast.walk(statement) if isinstance(node, ast.AugAssign))
    return loaded_names(statement) | {target.id for target in added if isinstance(target, ast.Name)}


def _is_read(name: str, rest: Sequence[ast.stmt]) -> bool:
    """Tell whether statements read a name before they bind it anew."""
    for statement in rest:
        if name in stored_names(statement):
            return isinstance(statement, ast.Assign | ast.AugAssign) and name in _used_names(statement)
        if name in loaded_names(statement):
            return True
    return False


def _changes(statement: ast.stmt, name: str) -> bool:
    """Tell whether a statement adds to a variable, or a loop in it reads what its last turn has left there."""
    for node in ast.walk(statement):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return True
        if isinstance(node, ast.For | ast.While) and name in _carried(node.body):
            return True
    return False


def _carried(body: Sequence[ast.stmt]) -> set[str]:
    """Return the names that the body of a loop reads before it binds them."""
    read, bound = set[str](), set[str]()
    for statement in _flattened(body):
        own = set() if isinstance(statement, ast.Assign | ast.AugAssign) else stored_names(statement)
        read |= _used_names(statement) - bound - own
        bound |= stored_names(statement)
    return read & bound


def _calls_of_program(statement: ast.stmt) -> list[ast.Call]:
    """Return the calls that may change their arguments, or look at which objects they are."""
    calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call))
    return [one for one in calls if called_name(one.func) not in _HARMLESS]


def _is_given(statement: ast.stmt, name: str) -> bool:
    """Tell whether a variable, and not only an item of it, is an argument of a call that may change it."""
    arguments = [item for call in _calls_of_program(statement) for item in [*call.args, *call.keywords]]
    nodes = [node for item in arguments for node in ast.walk(item)]
    indexed = {id(node.value) for node in nodes if isinstance(node, ast.Subscript)}
    return any(_reads(name)(node) and id(node) not in indexed for node in nodes)


def _is_watched(statement: ast.stmt, name: str) -> bool:
    """Tell whether an assertion looks at a variable itself."""
    inside = {id(node) for call in _calls_of_program(statement) for node in ast.walk(call)}
    return is_assertion(statement) and any(_reads(name)(node) for node in ast.walk(statement) if id(node) not in inside)


def _is_compared_by_identity(statement: ast.stmt, name: str) -> bool:
    """Tell whether a variable is asked to be the same object as another."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Is | ast.IsNot) for one in node.ops):
            sides = [node.left, *node.comparators]
            if any(map(_reads(name), sides)) and not any(isinstance(side, ast.Constant) for side in sides):
                return True
    return False


def _flattened(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements without imports and prints, unwrapped from main guards, subTest and `except AssertionError`."""
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
    """Return the bodies of a test function, a test class's methods or a loop over a table.

    Each is preceded by assignments of its variables. None for any other statement, and for a loop over rows that
    are not literal.
    """
    if not is_assertion(statement):
        return None
    match statement:
        case ast.ClassDef():
            return _class_scopes(statement, values)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return _function_scopes(statement, body, values)
        case ast.For(target=target, iter=table, body=inner):
            rows = _rows(substitute(table, values))
            bindings = None if rows is None else [_unpacked(target, row) for row in rows]
            read = {name for step in body for name in loaded_names(step)}  # what is only counted matters to no check
            if bindings is None or not all(bindings) or _carried(inner) & read:
                return None
            return [[*binding, *inner] for binding in bindings if binding]
    return None


def _class_scopes(owner: ast.ClassDef, known: Mapping[str, ast.expr]) -> list[list[ast.stmt]]:
    """Return one body for each test of a class, behind what it sets up; none if its methods call each other."""
    methods = {item.name: item for item in owner.body if isinstance(item, FunctionNode)}
    called = {node.attr for node in ast.walk(owner) if isinstance(node, ast.Attribute)}
    if called & methods.keys():
        return []
    values = [item for item in owner.body if isinstance(item, ast.Assign)]
    setup = [step for name in _SET_UP if name in methods for step in methods[name].body]
    tests = [item for name, item in methods.items() if name.startswith("test")]
    bodies = [body for test in tests for body in _function_scopes(test, [], known)]
    members = {name for item in values for name in stored_names(item)}
    as_names = _SelfAsNames(owner.name)
    own = [as_names.visit(deepcopy(step)) for step in values]
    for step in own:
        for node in ast.walk(step):
            if isinstance(node, ast.Name) and node.id in members:
                node.id = f"self_{node.id}"
    return [[*deepcopy(own), *(as_names.visit(deepcopy(step)) for step in [*setup, *body])] for body in bodies]


def _function_scopes(
    function: ast.FunctionDef | ast.AsyncFunctionDef, body: list[ast.stmt], known: Mapping[str, ast.expr]
) -> list[list[ast.stmt]]:
    """Return one body for each row of `parametrize`, or for each call of a function with parameters.

    Empty if the arguments are unknown.
    """
    if any(isinstance(node, ast.Await) for node in ast.walk(function)):
        return []
    parameters = [argument.arg for argument in function.args.args if argument.arg != "self"]
    scopes: list[list[ast.stmt]] = [[]]
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[names, table, *_]):
                rows = [_unpacked(_parametrized(names), row) or [] for row in _rows(substitute(table, known)) or []]
                scopes = [[*scope, *row] for scope in scopes for row in rows]
    if parameters and scopes == [[]]:
        calls = [step.value for step in body if isinstance(step, ast.Expr) and isinstance(step.value, ast.Call)]
        argument_lists = [
            call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id == function.name
        ]
        target = ast.Tuple(elts=_names(parameters), ctx=ast.Store())
        scopes = [_unpacked(target, ast.Tuple(elts=row, ctx=ast.Load())) or [] for row in argument_lists]
    bound = [scope for scope in scopes if len(scope) >= len(parameters)]
    return [[*scope, *function.body] for scope in bound]


def _parametrized(names: ast.expr) -> ast.expr:
    """Return the assignment target of `parametrize("a, b", ...)` or `parametrize(["a", "b"], ...)`."""
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
    """Return the items over which a loop iterates, if the expression lists them."""
    match table:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) if len(items) <= _MAX_ROWS:
            return [_row(item) for item in items]
        case ast.Call(func=ast.Attribute(value=ast.Dict(keys=keys, values=values), attr="items"), args=[]):
            pairs = [(key, value) for key, value in zip(keys, values, strict=True) if key is not None]
            return [ast.Tuple(elts=list(pair), ctx=ast.Load()) for pair in pairs[:_MAX_ROWS]]
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *start]) if (rows := _rows(inner)) is not None:
            first = start[0].value if start and isinstance(start[0], ast.Constant) else 0
            numbers = (
                [ast.Constant(value=index + first) for index in range(len(rows))] if isinstance(first, int) else []
            )
            return [ast.Tuple(elts=[number, row], ctx=ast.Load()) for number, row in zip(numbers, rows, strict=False)]
        case ast.Call(func=ast.Name(id="zip"), args=columns):
            tables = [_rows(column) for column in columns]
            if all(rows is not None for rows in tables):
                combined = zip(*(rows for rows in tables if rows is not None), strict=False)
                return [ast.Tuple(elts=list(row), ctx=ast.Load()) for row in combined]
    return None


def _row(item: ast.expr) -> ast.expr:
    """Convert `pytest.param(1, 2, id="x")` to the row (1, 2)."""
    match item:
        case ast.Call(func=ast.Attribute(attr="param"), args=[only]):
            return only
        case ast.Call(func=ast.Attribute(attr="param"), args=values):
            return ast.Tuple(elts=values, ctx=ast.Load())
    return item


def _simple(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """Return the name and value of `name = value`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
    return None


def _unpacked(target: ast.expr, value: ast.expr) -> list[ast.stmt] | None:
    """Split `a, (b, c) = 1, (2, 3)` into one assignment per name; None if the shapes differ or are not literal."""
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
    """Replace `self.stack` by `self_stack`, except for the assertion methods of the test class."""

    def __init__(self, name: str) -> None:
        self._owners = ("self", "cls", name)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ctx) if (
                owner in self._owners and not name.startswith(("assert", "subTest"))
            ):
                return ast.Name(id=f"self_{name}", ctx=ctx)
        return node
