"""Take a statement apart into what runs beside the program and what the judge compares.

    def test_add():                     add(2, 3)                  5
        result = add(2, 3)         ->   __local_1_result__         above(4)
        assert result == 5              ...
        assert result > 4

The left is evaluated in the program's process, in the order of the test; what it should be never gets there. The test
is unrolled for it: its functions are written where they are called, loops over literal tables row by row. Whatever that
does not mean exactly the same by remains a statement: nothing is guessed, and nothing is executed here.
"""

import ast
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from plum_hub.answers.fixtures import own_nodes
from plum_hub.answers.folding import MAX_ROWS, is_fixed, table_rows
from plum_hub.answers.observations import observe, observe_raise
from plum_hub.answers.plain import is_failure
from plum_hub.answers.rewriting import UndividedError
from plum_hub.answers.scopes import LOCAL, Caught, Held, Instance, Scope
from plum_hub.answers.source import parse, stored_names, unparse
from plum_hub.execution.base import Call, Statement, Steps
from plum_hub.execution.reserved import reserved

_MAX_STEPS = 4 * MAX_ROWS
_MAX_READ = 3 * _MAX_STEPS
"""Statements that are written out, those of functions and loops as often as they run."""
_MAX_WRITTEN = 2_000_000
"""Characters of all that is compared: a long literal in a loop, row by row."""
_MAX_DEPTH = 8


class _ReturnedError(Exception):
    """The function that is written out ends here."""


@lru_cache(maxsize=512)
def divided(source: str) -> Steps | Statement:
    """Take a statement apart.

    Args:
        source: The statement, in plain Python: without names of pytest or unittest.

    Returns:
        Its steps; the whole statement if its parts would not mean certainly the same.
    """
    whole, tree = Statement(source=source), parse(source)
    if tree is None:
        return whole
    try:
        return Steps(source=source, steps=_Division().steps_of(tree))
    except (UndividedError, RecursionError, ValueError):  # some texts inside others cannot be written out
        return whole


class _Division:
    """The steps of one statement."""

    def __init__(self) -> None:
        self.steps: list[Statement | Call] = []
        self.pending: list[ast.stmt] = []
        self.variables: dict[str, None] = {}
        self.caught: list[Caught] = []
        self.checks = self.scopes = self.read = self.written = 0

    def steps_of(self, tree: ast.Module) -> tuple[Statement | Call, ...]:
        """Return the steps of a module."""
        scope = Scope.of_module(tree, self.emit)
        for statement in tree.body:
            self._read(statement, scope)
        if not self.checks:
            raise UndividedError
        if self.variables:  # as the variables of a function end with it
            ends = f"[{reserved('globals')}().pop(name, None) for name in {tuple(self.variables)!r}]"
            self.pending += ast.parse(ends).body
        self._flush()
        for one in self.caught:  # what is asserted of a message came behind it
            call = self.steps[one.step]
            assert isinstance(call, Call)
            self.steps[one.step] = replace(call, expected=one.source)
        return tuple(self.steps)

    def emit(self, statement: ast.stmt) -> None:
        """Add what runs beside the program."""
        self.pending.append(statement)
        self.variables.update(dict.fromkeys(name for name in stored_names(statement) if name.startswith(LOCAL)))

    def _flush(self) -> None:
        if self.pending:
            self.steps.append(Statement(source=unparse(self.pending)))
            self.pending = []

    def _observe(self, calls: Sequence[Call]) -> None:
        self._flush()
        self.checks += 1
        self.steps += calls
        self.written += sum(len(call.expression) + len(call.expected) for call in calls)
        if len(self.steps) > _MAX_STEPS or self.written > _MAX_WRITTEN:
            raise UndividedError

    def _read_all(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self._read(statement, scope)

    def _read(self, statement: ast.stmt, scope: Scope) -> None:
        self.read += 1
        if self.read > _MAX_READ:
            raise UndividedError
        has_check = scope.has_check(statement)
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return
            case ast.Return(value=None | ast.Constant() | ast.Name()) if scope.number:
                raise _ReturnedError
            case ast.Assert(test=test):
                self._observe(observe(test, scope))
            case ast.Try() if has_check:
                self._raises(statement, scope)
            case ast.For(orelse=[]) if has_check:
                self._unroll(statement, scope)
            case ast.If(test=test, body=body, orelse=orelse) if has_check:
                if (holds := scope.decided(test)) is None:
                    raise UndividedError
                self._read_all(body if holds else orelse, scope)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if has_check:
                scope.hold(name, statement)
            case ast.Expr(value=ast.Call() as call) if (found := self._inlined(call, scope)) is not None:
                self._inline(*found, call, scope)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(name, value, scope)
            case ast.AnnAssign(target=target, value=value) if scope.number:  # its annotation is not evaluated there
                if value is not None:
                    self._read(ast.Assign(targets=[target], value=value), scope)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=items)) if len(names) == len(
                items
            ) and all(
                isinstance(one, ast.Name) and scope.literal(item) is not None
                for one, item in zip(names, items, strict=True)
            ):
                values = [scope.literal(item) for item in items]
                for one, literal in zip(names, values, strict=True):
                    if isinstance(one, ast.Name) and literal is not None:
                        scope.hold(one.id, literal)
            case _:
                scope.run(statement)

    def _assign(self, name: str, value: ast.expr, scope: Scope) -> None:
        literal = scope.literal(value)
        if (held := self._made(value, scope)) is not None:
            scope.hold(name, held)
        elif literal is not None and (not isinstance(value, ast.Name) or is_fixed(literal)):
            scope.hold(name, literal)
        else:
            target = ast.Name(id=name, ctx=ast.Store())
            scope.run(ast.fix_missing_locations(ast.Assign(targets=[target], value=value)))

    def _made(self, value: ast.expr, scope: Scope) -> Held | None:
        """Return a new object of a class of the test, or what is written out where it is called by its other name."""
        match value:
            case ast.Name(id=name) if scope.owner(name):
                held = scope.find(name)
                return held if isinstance(held, ast.FunctionDef | ast.ClassDef | Instance) else None
            case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if scope.owner(name) and isinstance(
                kind := scope.find(name), ast.ClassDef
            ):
                checks = scope.define(kind)
                variable = f"{LOCAL}{self._number()}_self__"
                self.emit(ast.parse(f"{variable} = {kind.name}()").body[0])
                return Instance(variable, checks)
        return None

    def _number(self) -> int:
        self.scopes += 1
        return self.scopes

    def _inlined(self, call: ast.Call, scope: Scope) -> tuple[ast.FunctionDef, Instance | None] | None:
        """Return the function that a call runs and that checks something, with the object whose method it is."""
        match call.func:
            case ast.Name() as named if isinstance(held := self._made(named, scope), ast.FunctionDef):
                return held, None
            case ast.Attribute(value=ast.Name() | ast.Call() as owner, attr=attribute) if scope.has_check(
                call
            ) and isinstance(made := self._made(owner, scope), Instance):
                if (method := made.method(attribute)) is None:
                    raise UndividedError
                return method, made
        return None

    def _inline(self, function: ast.FunctionDef, owner: Instance | None, call: ast.Call, scope: Scope) -> None:
        """Write out the body of a function of the test where it is called."""
        inner = scope.inside(function, self._number(), is_method=owner is not None)
        parameters = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        if inner.depth > _MAX_DEPTH or (owner is not None and not parameters):
            raise UndividedError
        if owner is not None:
            inner.hold(parameters.pop(0), owner)
        arguments = function.args
        defaults = dict(zip(reversed(parameters), reversed(arguments.defaults), strict=False))
        defaults |= {
            one.arg: value
            for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if value is not None
        }
        named = [*parameters, *(one.arg for one in arguments.kwonlyargs)]
        given = _given(call, function.args, parameters)
        for name, value in given.items():
            self._give(name, value, scope, inner)
        for name in named:
            default = defaults.get(name)
            if name not in given and (default is None or not is_fixed(default)):
                raise UndividedError
            if name not in given and default is not None:
                inner.hold(name, default)
        if given.keys() - set(named):
            raise UndividedError
        try:
            self._read_all(function.body, inner)
        except _ReturnedError:
            return

    def _give(self, name: str, value: ast.expr, scope: Scope, inner: Scope) -> None:
        """Bind a parameter to an argument."""
        literal = scope.literal(value)
        if (held := self._made(value, scope)) is not None:
            inner.hold(name, held)
        elif literal is not None and (not isinstance(value, ast.Name) or is_fixed(literal)):
            inner.hold(name, literal)
        elif isinstance(value, ast.Name) and not scope.owner(value.id):
            inner.hold(name, value.id)
        else:
            target = ast.Name(id=inner.variable(name), ctx=ast.Store())
            self.emit(ast.fix_missing_locations(ast.Assign(targets=[target], value=scope.inner(value))))
            if scope.is_own(value):
                scope.shared.own.add(target.id)
            inner.hold(name, target.id)

    def _unroll(self, loop: ast.For, scope: Scope) -> None:
        """Write out a loop over a literal table, row by row."""
        if any(isinstance(node, ast.Break | ast.Continue) for node in own_nodes(loop)):
            raise UndividedError
        tables = scope.tables(loop.iter)
        rows = table_rows(scope.table(loop.iter))
        if rows is None:
            raise UndividedError
        for row in rows:
            scope.bind_row(loop.target, row)
            self._read_all(loop.body, scope)
            if not scope.are_unseen(tables):  # it may have more rows, or fewer
                raise UndividedError

    def _raises(self, node: ast.Try, scope: Scope) -> None:
        """Read `with raises(...)` around one expression, as it is written in plain Python."""
        match node:
            case ast.Try(
                body=[ast.Expr(value=value) | ast.Assign(targets=[ast.Name()], value=value)],
                handlers=[ast.ExceptHandler(type=ast.expr() as kinds, body=[*handler])],
                orelse=[failure],
                finalbody=[],
            ) if _only_fails(failure) and not any(
                isinstance(item, ast.Await | ast.Yield | ast.YieldFrom) for item in ast.walk(value)
            ):
                call, caught = observe_raise(value, kinds, handler, scope)
                self._observe([call])
                caught.step = len(self.steps) - 1
                self.caught.append(caught)
                for step in handler:
                    if isinstance(step, ast.ClassDef):
                        scope.hold(step.name, caught)
            case _:
                raise UndividedError


def _only_fails(statement: ast.stmt) -> bool:
    """Tell whether a statement is what stands for a `raises` of pytest or unittest that saw no error."""
    match statement:
        case ast.Assert(test=ast.Constant(value=False)):
            return True
    return is_failure(statement)


def _given(call: ast.Call, arguments: ast.arguments, parameters: Sequence[str]) -> dict[str, ast.expr]:
    """Return the arguments of a call by parameter."""
    given = dict(zip(parameters, call.args, strict=False))
    words = {str(word.arg): word.value for word in call.keywords}
    is_plain = not (arguments.vararg or arguments.kwarg or len(call.args) > len(parameters))
    if not is_plain or any(isinstance(one, ast.Starred) for one in call.args) or words.keys() & given.keys():
        raise UndividedError
    return given | words
