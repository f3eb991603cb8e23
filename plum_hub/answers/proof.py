"""Decide whether test statements can fail a program; a suite that cannot proves nothing.

Nothing is executed. The analysis reports only what certainly proves nothing: statements that never call the
program, checks that are defined but not reached, checks that hold whatever the program does, and checks whose
failure is caught and discarded.
"""

import ast
import builtins
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from plum_hub.answers.fixtures import STAND_INS
from plum_hub.answers.plain import CHECK_METHODS, called_name, is_failure
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, missing_names, stored_names, substitute

_CAUGHT = frozenset({"AssertionError", "Exception", "BaseException"})
_COMPOUND = (ast.While, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Try, ast.Match, ast.If)
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_LOOK_ONLY = frozenset({"callable", "hasattr", "type", "id", "print", "repr", "iscoroutinefunction", "isfunction"})
_BUILTINS = frozenset(dir(builtins))
_CHECKS = tuple(f"{STAND_INS}[{name!r}]" for name in ("_Raises", "_Warns", "_fail"))
_LEAVE = frozenset({"fail", "exit", "_exit"})
_CHANGING = frozenset({"next", "iter", "input", "open", "id"})


def why_cannot_fail(body: Sequence[ast.stmt], entry_point: str) -> str | None:
    """Explain why statements, executed in order, cannot fail any program.

    Args:
        body: The statements.
        entry_point: The name that the program must define; "" if every name that nothing else defines is the
            program's.

    Returns:
        The reason; None if the statements may fail a program.
    """
    body = _with_fixed_values(body)
    reached = list(_Reach(body).nodes())
    is_own = _defines_first(body, entry_point)
    roots = {"solution"} | ({entry_point} if not is_own else set())
    roots |= missing_names(ast.Module(body=list(body), type_ignores=[]))
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == "solution":
            roots |= stored_names(node)
        elif isinstance(node, ast.Import):
            roots |= {alias.asname for alias in node.names if alias.name == "solution" and alias.asname}
    if not entry_point:
        roots |= _called_builtins(body)
    tainted = _tainted(reached, roots)
    if not any(_calls(node, roots) for node in reached):
        return f"{f'it defines {entry_point} itself, and ' if is_own else ''}nothing in it calls the program"
    if not any(_is_proof(node, roots, tainted) for node in reached):
        return "nothing in it can fail: no check of what the program gives is reached"
    return None


def _with_fixed_values(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Write the values of names that decide whether checks are reached: `DEBUG = False`, `CASES = []`."""
    nodes = [item for node in body for item in ast.walk(node)]
    stored = Counter(name for node in nodes for name in _bound_names(node))
    deciding = [getattr(node, "test", getattr(node, "iter", None)) for node in nodes]
    decides = Counter(node.id for node in deciding if isinstance(node, ast.Name))
    loaded = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    values: dict[str, ast.expr] = {}
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() as value):
                values[name] = value
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=[]) | ast.Tuple(elts=[]) as value) if (
                decides[name] == loaded[name]  # nothing else adds to it
            ):
                values[name] = value
            case ast.ImportFrom(module="typing", names=names):
                values |= {one.name: ast.Constant(value=False) for one in names if one.name == "TYPE_CHECKING"}
    values = {name: value for name, value in values.items() if stored[name] == 1}
    return [substitute(node, values) for node in body] if values.keys() & decides else list(body)


def _bound_names(node: ast.AST) -> list[str]:
    """Return the names that a node itself binds, a declaration as `global` among them."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
            return [name]
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
        case ast.alias():
            return [node.asname or node.name]
    return [node.name] if isinstance(node, DefinitionNode) else []


def _defines_first(body: Sequence[ast.stmt], name: str) -> bool:
    """Tell whether statements define a function or class before anything uses what has its name."""
    for node in body:
        if isinstance(node, DefinitionNode) and node.name == name:
            return True
        if name in loaded_names(node) or name in stored_names(node):
            return False
    return False


def _called_builtins(body: Sequence[ast.stmt]) -> set[str]:
    """Return the called builtins that are not types: a program of unknown name may have that name."""
    names = {
        node.func.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    known = {name for name in _BUILTINS - _LOOK_ONLY if not isinstance(getattr(builtins, name), type)}
    return names & (known - {"len", "isinstance", "issubclass", "getattr", "globals", "locals", "vars", "iter", "next"})


class _Reach:
    """Finds the statements that are reached and whose failure is not discarded."""

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        self._body = body
        self._muted: set[int] = set()
        """Ids of nodes whose failure is discarded: what they call checks nothing."""
        self._defined: dict[str, list[ast.stmt]] = {}
        self._changing = set(_CHANGING)
        """Names whose calls may give something else each time."""
        for node in ast.walk(ast.Module(body=list(body), type_ignores=[])):
            if isinstance(node, DefinitionNode):
                self._defined.setdefault(node.name, []).append(node)
                self._changing.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._changing.add(node.id)

    def nodes(self) -> Iterator[ast.AST]:
        """Yield simple statements and the headers of compound ones; functions once they are used by name."""
        seen: set[int] = set()
        queue = [list(self._body)]
        while queue:
            for node in self._walk(queue.pop()):
                yield node
                names = {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)} | loaded_names(node)
                for definition in (one for name in sorted(names) for one in self._defined.get(name, ())):
                    if id(node) in self._muted:
                        yield self._link(definition)
                    elif id(definition) not in seen:
                        seen.add(id(definition))
                        yield from getattr(getattr(definition, "args", None), "args", ())
                        yield self._link(definition)
                        queue.append(definition.body)  # type: ignore[attr-defined]

    def _link(self, definition: ast.stmt) -> ast.Tuple:
        """Return the name of a definition beside those in it, since what it gives may depend on each."""
        bodies = [vars(definition)["body"]]
        if isinstance(definition, ast.ClassDef):
            bodies += [item.body for item in definition.body if isinstance(item, FunctionNode)]
        inside = {name for body in bodies for node in self._walk(body) for name in loaded_names(node)}
        names = sorted(inside | {vars(definition)["name"]})
        return ast.Tuple(elts=[ast.Name(id=name, ctx=ast.Load()) for name in names], ctx=ast.Load())

    def _walk(self, body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
        for node in self._with_results(body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    yield from node.decorator_list
                case ast.If(test=ast.Constant(value=value)):
                    yield from self._walk(node.body if value else node.orelse)
                    continue
                case ast.While(test=ast.Constant(value=value)) if not value:
                    yield from self._walk(node.orelse)
                    continue
                case ast.For(iter=ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Dict(keys=[])):
                    yield from self._walk(node.orelse)
                    continue
                case ast.If() | ast.While():
                    yield node.test
                    yield from self._walk(node.body)
                    yield from self._walk(node.orelse)
                case ast.For() | ast.AsyncFor():
                    yield ast.Assign(targets=[node.target], value=node.iter)
                    yield from self._walk(node.body)
                    yield from self._walk(node.orelse)
                case ast.With() | ast.AsyncWith():
                    yield from node.items
                    if not any(suppresses(item.context_expr) for item in node.items):
                        yield from self._walk(node.body)
                case ast.Try():
                    yield from self._try(node)
                case ast.Match():
                    yield node.subject
                    for case in node.cases:
                        yield from self._walk(case.body)
                case _:
                    yield node
            if isinstance(node, _COMPOUND):  # statements inside may depend on every name in the compound statement
                names = ast.Tuple(elts=[item for item in ast.walk(node) if isinstance(item, ast.Name)], ctx=ast.Load())
                self._muted |= {id(names)} if isinstance(node, ast.Try) and self._discarded(node) else set()
                yield names
            if isinstance(node, _ENDS):
                return

    def _with_results(self, body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        """Write the calls out of which assertions compare the results: `want = f(1)`, `assert f(1) == want`."""
        results: dict[str, ast.expr] = {}
        for node in body:
            match node:
                case ast.Assert(test=test) if self._repeats(test):
                    yield ast.Assert(test=substitute(test, results), msg=node.msg) if results else node
                    continue
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if self._repeats(value):
                    value = substitute(value, results)
                    results = {key: one for key, one in results.items() if name not in loaded_names(one)}
                    results[name] = value
                    if name in loaded_names(value):
                        del results[name]
                case _:
                    results = {}
            yield node

    def _repeats(self, value: ast.expr) -> bool:
        """Tell whether an expression calls nothing that evidently gives something else each time."""
        for node in ast.walk(value):
            match node:
                case (
                    ast.Call(func=ast.Name(id=name))
                    | ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name))))
                ) if name not in self._changing:
                    continue
                case ast.Call() | ast.Await() | ast.NamedExpr() | ast.Yield() | ast.YieldFrom():
                    return False
        return True

    def _try(self, node: ast.Try) -> Iterator[ast.AST]:
        caught = self._discarded(node)
        inner = list(self._walk(node.body))
        if not caught:
            yield from inner
        else:  # the names are used nevertheless, and later checks may read them
            whole = any(one is None or "BaseException" in ast.unparse(one) for one in caught)
            kept = (item for item in inner if not whole and is_failure(item))
            self._muted |= {id(item) for item in inner if not is_failure(item)}
            yield from (item for item in inner if not isinstance(item, ast.Assert | ast.Raise | ast.Expr))
            yield from kept
        for handler in node.handlers:
            yield from self._walk(handler.body)
        yield from self._walk(node.orelse)
        yield from self._walk(node.finalbody)

    def _discarded(self, node: ast.Try) -> list[ast.expr | None]:
        """Return what is caught of failed checks without a report."""
        return [one.type for one in node.handlers if catches(one.type) and not self._reports(one.body)]

    def _reports(self, body: Sequence[ast.stmt]) -> bool:
        """Return whether a handler raises, asserts or exits."""
        return any(
            isinstance(item, ast.Raise | ast.Assert)
            or (isinstance(item, ast.Call) and called_name(item.func) in _LEAVE)
            for node in self._walk(body)
            for item in ast.walk(node)
        )


def catches(error: ast.expr | None) -> bool:
    """Tell whether a handler catches failed checks.

    Args:
        error: What it catches; None for everything.

    Returns:
        Whether an `AssertionError` is among it.
    """
    if isinstance(error, ast.Tuple):
        return any(map(catches, error.elts))
    return error is None or (isinstance(error, ast.Name | ast.Attribute) and called_name(error) in _CAUGHT)


def suppresses(context: ast.expr) -> bool:
    """Tell whether a context is `contextlib.suppress` of failed checks.

    Args:
        context: The expression behind `with`.

    Returns:
        Whether an `AssertionError` ends there.
    """
    return isinstance(context, ast.Call) and called_name(context.func) == "suppress" and any(map(catches, context.args))


def _tainted(reached: Iterable[ast.AST], roots: set[str]) -> set[str]:
    """Return the variables that may hold what the program returned or modified."""
    nodes = list(reached)
    stored = Counter(
        item.id
        for node in nodes
        if not isinstance(node, ast.Tuple)
        for item in ast.walk(node)
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
    )
    constant = {
        name
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for name in stored_names(node)
    }
    fixed = {name for name in constant if stored[name] == 1} | roots | _BUILTINS
    tainted = {node.arg for node in nodes if isinstance(node, ast.arg)}
    while True:
        more = set(tainted)
        for node in nodes:
            names = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
            if not isinstance(node, ast.Import | ast.ImportFrom) and names & (roots | more):
                more |= names - fixed
        if more == tainted:
            return tainted
        tainted = more


def _calls(node: ast.AST, roots: set[str]) -> bool:
    return any(
        isinstance(item, ast.Name) and item.id in roots and isinstance(item.ctx, ast.Load) for item in ast.walk(node)
    )


def _is_proof(node: ast.AST, roots: set[str], tainted: set[str]) -> bool:
    match node:
        case ast.Assert(test=test):
            return not _always_holds(test) and _depends(test, roots, tainted)
        case ast.Raise():
            return True
    return any(
        (isinstance(item, ast.Attribute) and item.attr in CHECK_METHODS)
        or (isinstance(item, ast.Call) and _is_check(item.func))
        for item in ast.walk(node)
    )


def _is_check(function: ast.expr) -> bool:
    name = called_name(function)
    return name.startswith("assert") or name in _LEAVE or ast.unparse(function) in _CHECKS


def _depends(test: ast.expr, roots: set[str], tainted: set[str]) -> bool:
    for item in ast.walk(test):
        match item:
            case ast.Call(func=function) if loaded_names(function) & (roots | tainted) - _LOOK_ONLY:
                return True
            case ast.Call(func=function, args=args, keywords=keywords) if called_name(function) not in _LOOK_ONLY:
                if any(
                    loaded_names(argument) & (roots | tainted)
                    for argument in [*args, *(keyword.value for keyword in keywords)]
                ):
                    return True
            case ast.Name(id=name) if name in tainted - roots:
                return True
            case ast.Attribute(value=ast.Name(id=name)) if name in roots:
                return True
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if _compares_a_value(
                left, operator, right, roots
            ):
                return True
    # A test that always fails is a check, too: `else: assert False`.
    return isinstance(test, ast.Constant) and not test.value


def _compares_a_value(left: ast.expr, operator: ast.cmpop, right: ast.expr, roots: set[str]) -> bool:
    """Return whether a variable of the program is compared with a value; a comparison with None does not count."""
    sides = (left, right)
    named = any(isinstance(side, ast.Name) and side.id in roots for side in sides)
    nothing = any(isinstance(side, ast.Constant) and side.value is None for side in sides)
    return named and not nothing and not isinstance(operator, ast.Is | ast.IsNot)


def _always_holds(test: ast.expr) -> bool:
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return bool(items)
        case ast.JoinedStr() | ast.Lambda():
            return True
        case ast.Call(
            func=ast.Name(id="all"),
            args=[ast.GeneratorExp(generators=[first, *_]) | ast.ListComp(generators=[first, *_])],
        ):
            return isinstance(first.iter, ast.List | ast.Tuple) and not first.iter.elts
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(map(_always_holds, values))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(map(_always_holds, values))
        case (
            ast.UnaryOp(op=ast.Not(), operand=ast.UnaryOp(op=ast.Not(), operand=inner))
            | ast.Compare(left=inner, ops=[ast.Eq()], comparators=[ast.Constant(value=True)])
        ) if _always_holds(inner):
            return True
        case ast.Compare(left=left, ops=[ast.Eq() | ast.LtE() | ast.GtE()], comparators=[right]):
            return ast.unparse(left) == ast.unparse(right)
    return False
