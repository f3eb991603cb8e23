"""What the names of a test stand for while it is taken apart (`division`): known values, and variables of a sandbox.

A literal that nothing has seen yet stays outside. It becomes a variable beside the program where something there uses
it, such as a list that the program is given: from then on only the program's process knows what it holds.
"""

import ast
import builtins
from collections.abc import Callable, Iterable
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TypeAlias

from plum_hub.answers.assertions import holds_nan, is_literal
from plum_hub.answers.deciding import checked_names, has_check, refuse_outlook, stub_of
from plum_hub.answers.fixtures import own_nodes
from plum_hub.answers.folding import decided, fold, is_fixed, place_of, write_in
from plum_hub.answers.rewriting import Rewriter, UndividedError, bound_by, bound_names, names_of_parameters
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names

LOCAL = "__local_"
"""How the variables begin that stand for names of functions."""
_SUSPENDS = (ast.Await, ast.Yield, ast.YieldFrom, ast.Return, ast.AsyncFor, ast.AsyncWith)
_METHODS = frozenset(name for kind in (str, list, dict, set, tuple, bytes, int, float) for name in dir(kind)) | {
    "equals"
}
_BUILTINS = frozenset(vars(builtins))


@dataclass(frozen=True)
class Instance:
    """An object of a class of the test, by the variable that holds it."""

    variable: str
    checks: tuple[ast.FunctionDef, ...]
    """The methods that check something, of the class and its bases, the nearest first."""

    def method(self, name: str) -> ast.FunctionDef | None:
        """Find a method that checks something.

        Args:
            name: Its name.

        Returns:
            The method; None if there is none of this name, or it is left in the class.
        """
        return next((one for one in self.checks if one.name == name), None)


@dataclass
class Caught:
    """An exception that a step has to raise."""

    step: int
    names: tuple[str, ...]
    match: str | None = None
    message: str | None = None
    parts: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The condition, as source."""
        words = {"match": self.match, "message": self.message, "parts": self.parts or None}
        return f"raises({', '.join([repr(self.names), *(f'{k}={v!r}' for k, v in words.items() if v is not None)])})"


@dataclass(frozen=True)
class _Used:
    """A table whose rows are in use by their own names."""


Held: TypeAlias = ast.expr | str | ast.FunctionDef | ast.ClassDef | Instance | Caught | _Used
"""A literal, a variable, what is written out where it is called, and what was raised."""


@dataclass
class WholeTest:
    """What all scopes of a statement have in common.

    Attributes:
        emit: Adds a statement to those that run beside the program.
        checked: Names of functions, classes and methods that check something, directly or not.
        defined: Names that the statement binds at its top level.
        imported: Names of modules and of what is taken from them.
        raisers: Names of functions of the test that raise.
        own: Variables that hold what the program answered.
        objects: Variables that hold an object of a class of the program, which may be equal to a literal.
    """

    emit: Callable[[ast.stmt], None]
    checked: frozenset[str]
    defined: frozenset[str]
    imported: set[str] = field(default_factory=set)
    raisers: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    homes: dict[int, "Scope"] = field(default_factory=dict)
    """The scopes in which what checks something is defined, by the identity of its node."""
    classes: dict[str, tuple[ast.FunctionDef, ...]] = field(default_factory=dict)
    """Classes that are defined, with the methods that were left out."""


class Scope:
    """The names of a module, or of a function that is written out.

    Attributes:
        shared: See `WholeTest`.
        number: 0 for a module.
        depth: Functions around it.
    """

    def __init__(self, shared: WholeTest, number: int, name: str, names: Iterable[str], parent: "Scope | None") -> None:
        """Begin with no value.

        Args:
            shared: What the scopes have in common.
            number: 0 for a module.
            name: The function.
            names: What it binds.
            parent: The scope around it.
        """
        self.shared, self.number, self.name, self.depth = shared, number, name, 0
        self._names, self._parent = frozenset(names), parent
        self._values: dict[str, Held] = {}
        self._picked: list[str] = []
        self._captured: set[str] = set()
        """Names that functions beside the program read."""

    @classmethod
    def of_module(cls, tree: ast.Module, emit: Callable[[ast.stmt], None]) -> "Scope":
        """Make the scope of a whole statement.

        Args:
            tree: The statement.
            emit: Adds what runs beside the program.

        Returns:
            The scope.
        """
        defined = frozenset(name for node in tree.body for name in bound_by(node))
        return cls(WholeTest(emit, checked_names(tree), defined), 0, "", (), None)

    def inside(self, function: ast.FunctionDef, number: int, *, is_method: bool) -> "Scope":
        """Make the scope of a function that is written out where this scope calls it.

        Args:
            function: The function.
            number: A number of its own.
            is_method: Whether a class changes its private names.

        Returns:
            The scope.

        Raises:
            UndividedError: Its body does not mean the same elsewhere.
        """
        nodes = own_nodes(function)
        named = [str(getattr(node, "attr", getattr(node, "id", ""))) for node in ast.walk(function)]
        if (
            function.decorator_list
            or any(isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)) for node in nodes)
            or (is_method and any(one.startswith("__") and not one.endswith("__") for one in named))
        ):
            raise UndividedError
        names = names_of_parameters(function.args) | bound_names(nodes)
        scope = Scope(self.shared, number, function.name, names, self.shared.homes[id(function)])
        scope.depth = self.depth + 1
        return scope

    def variable(self, name: str) -> str:
        """Name the variable beside the program that stands for a name of the scope.

        Args:
            name: The name.

        Returns:
            The variable.
        """
        return f"{LOCAL}{self.number}_{name}__" if self.number else name

    def owner(self, name: str) -> "Scope | None":
        """Find the scope that binds a name.

        Args:
            name: The name.

        Returns:
            This scope or one around it; None for a name of the program's or Python's.
        """
        if name in self._names or name in self._values:
            return self
        return None if self._parent is None else self._parent.owner(name)

    def find(self, name: str) -> Held | None:
        """Find what a name stands for.

        Args:
            name: The name.

        Returns:
            What it stands for; None for a name of the program's or Python's.

        Raises:
            UndividedError: It has no value yet, or one that must not be used.
        """
        owner = self.owner(name)
        if owner is None:
            return None
        held = owner._values.get(name)
        if held is None or isinstance(held, _Used):
            raise UndividedError
        return held

    def read(self, name: str, *, is_later: bool, as_value: bool) -> ast.expr | str:
        """Find what stands for a name beside the program.

        Args:
            name: The name.
            is_later: Whether a function reads it, perhaps later.
            as_value: Whether a fixed value may be written in its place.

        Returns:
            A variable, or a fixed value.

        Raises:
            UndividedError: There is none, or what it stands for is written out where it is called.
        """
        owner = self.owner(name)
        if owner is None:
            root = self
            while root._parent is not None:
                root = root._parent
            if is_later and name in self.shared.defined:
                root._captured.add(name)
            return name
        held = owner._values.get(name)
        if is_later:
            return owner._capture(name, held)
        if isinstance(held, ast.expr) and is_fixed(held) and as_value:
            return deepcopy(held)
        return owner.materialise(name)

    def _capture(self, name: str, held: Held | None) -> str:
        """Let a function beside the program read a name: what it is bound to later is seen there, too."""
        self._captured.add(name)
        return self.variable(name) if held is None else self._own_variable(name)

    def _own_variable(self, name: str) -> str:
        """Return the variable of a name, which no other name shares; of an object of a test class, its own."""
        found = self.materialise(name)
        if isinstance(self._values[name], str) and found != self.variable(name):
            self._values[name] = self.variable(name)
            self._emit_value(name, ast.Name(id=found, ctx=ast.Load()))
            return self.variable(name)
        return found

    def hold(self, name: str, held: Held) -> None:
        """Let a name of this scope stand for something.

        Args:
            name: The name.
            held: What it stands for.

        Raises:
            UndividedError: A function beside the program reads the name, and this is no value.
        """
        is_captured = name in self._captured
        if is_captured and not (isinstance(held, ast.expr | str) and not isinstance(self._values.get(name), Instance)):
            raise UndividedError
        if isinstance(held, ast.FunctionDef | ast.ClassDef):
            self.shared.homes.setdefault(id(held), self)
        self._values[name] = held
        if is_captured and isinstance(held, str) and held != self.variable(name):
            self._values[name] = self.variable(name)
            self._emit_value(name, ast.Name(id=held, ctx=ast.Load()))
        elif is_captured:
            self.materialise(name)

    def materialise(self, name: str) -> str:
        """Make a variable beside the program of a name.

        Args:
            name: A name of this scope.

        Returns:
            The variable.

        Raises:
            UndividedError: It stands for no value.
        """
        held = self._values.get(name)
        if isinstance(held, str):
            return held
        if isinstance(held, Instance):
            return held.variable
        if isinstance(held, ast.ClassDef):
            self.define(held)
            return held.name
        if not isinstance(held, ast.expr):
            raise UndividedError
        self._values[name] = self.variable(name)
        self._emit_value(name, held)
        return self.variable(name)

    def picked(self, name: str, key: object) -> ast.expr | None:
        """Find what stands beside the program for an item of a literal, of which the others stay outside.

        Args:
            name: The name of the literal.
            key: Index or key.

        Returns:
            A fixed value, or a variable that holds the item; None if the name stands for something else.
        """
        owner = self.owner(name)
        held = None if owner is None else owner._values.get(name)
        if owner is None or not isinstance(held, ast.expr) or (place := place_of(held, key)) is None:
            return None
        items, index = place
        item = items[index]
        if is_literal(item) and not is_fixed(item):
            owner._values[name] = held = copy(held)  # it may stand in a loop or a function that is read again
            field = "values" if isinstance(held, ast.Dict) else "elts"
            items = [*items]
            setattr(held, field, items)
            variable = owner.variable(f"{name}_{len(owner._picked)}")
            owner._picked.append(variable)
            target = ast.Name(id=variable, ctx=ast.Store())
            self.shared.emit(ast.fix_missing_locations(ast.Assign(targets=[target], value=item)))
            items[index] = ast.Name(id=variable, ctx=ast.Load())
        return deepcopy(items[index])

    def _emit_value(self, name: str, value: ast.expr) -> None:
        target = ast.Name(id=self.variable(name), ctx=ast.Store())
        self.shared.own.discard(target.id)
        self.shared.emit(ast.fix_missing_locations(ast.Assign(targets=[target], value=deepcopy(value))))

    def literal(self, value: ast.expr) -> ast.expr | None:
        """Evaluate an expression without running it, where a new object of its value is as good as it.

        Args:
            value: The expression.

        Returns:
            The literal; None if it is none.
        """
        found = self._substituted(value, only_fixed=True)
        return found if self.is_literal(found) and not holds_nan(found) else None

    def is_literal(self, node: ast.expr) -> bool:
        """Tell whether the judge can evaluate an expression, whose names mean here what they mean everywhere.

        Args:
            node: The expression.

        Returns:
            Whether it can.
        """
        return is_literal(node) and not any(self.owner(name) for name in loaded_names(node) - self.shared.imported)

    def known(self, value: ast.expr) -> ast.expr:
        """Write the values of names into an expression that nobody but the judge will see.

        Args:
            value: The expression.

        Returns:
            A copy.
        """
        return self._substituted(value, only_fixed=False)

    def decided(self, test: ast.expr) -> bool | None:
        """Evaluate a condition on what is known.

        Args:
            test: The condition.

        Returns:
            Whether it holds; None if that is not known.
        """
        known = self.known(test)
        return None if any(map(self.owner, loaded_names(known) - self.shared.imported)) else decided(known)

    def _substituted(self, value: ast.expr, *, only_fixed: bool) -> ast.expr:
        if is_fixed(value):
            return value
        inner = {item.arg for item in ast.walk(value) if isinstance(item, ast.arg)}
        inner |= {item.id for item in ast.walk(value) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)}
        held: dict[str, ast.expr] = {}
        for name in loaded_names(value) - inner:
            owner = self.owner(name)
            found = None if owner is None else owner._values.get(name)
            if isinstance(found, ast.expr) and (is_fixed(found) or not only_fixed):
                held[name] = found
        if not held and not any(isinstance(item, ast.BinOp | ast.Subscript) for item in ast.walk(value)):
            return value
        return fold(write_in(held, value))

    def inner(self, value: ast.expr) -> ast.expr:
        """Write an expression as it is evaluated beside the program.

        Args:
            value: The expression.

        Returns:
            A copy in which this scope's names are variables or fixed values.

        Raises:
            UndividedError: It does not mean the same there.
        """
        refuse_outlook(value)
        if self.has_check(value):
            raise UndividedError
        return fold(Rewriter(self).visit(deepcopy(value)))

    def run(self, statement: ast.stmt) -> None:
        """Run a statement beside the program.

        Args:
            statement: One that decides nothing.

        Raises:
            UndividedError: It decides something, or does not mean the same there.
        """
        refuse_outlook(statement)
        outer = [statement, *own_nodes(statement)]
        called = {node.func.id for node in outer if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        is_definition = isinstance(statement, DefinitionNode)
        if self.has_check(statement) or (called & self.shared.raisers and not is_definition):
            raise UndividedError
        if not is_definition and any(isinstance(node, (ast.Raise, *_SUSPENDS)) for node in outer):
            raise UndividedError
        if isinstance(statement, FunctionNode) and any(isinstance(node, ast.Raise) for node in own_nodes(statement)):
            self.shared.raisers.add(statement.name)
        names = bound_by(statement)
        if isinstance(statement, ast.Import | ast.ImportFrom) and not self.number:
            self.shared.imported |= names
        made = self._rewritten(statement, names)
        self.shared.emit(ast.fix_missing_locations(made))
        for name in names:
            self._values[name] = self.variable(name)

    def _rewritten(self, statement: ast.stmt, names: set[str]) -> ast.stmt:
        if not isinstance(statement, (ast.Assign, ast.AnnAssign, *DefinitionNode, ast.Import, ast.ImportFrom)):
            for name in names & self._values.keys():  # it may not bind the name after all, or read it first
                self._own_variable(name)
            self._values |= {name: self.variable(name) for name in names - self._values.keys()}
        self._captured |= names if isinstance(statement, DefinitionNode) else set()
        made: ast.stmt = Rewriter(self).visit(deepcopy(statement))
        variables = {self.variable(name) for name in names}
        is_object = isinstance(statement, ast.Assign) and self.is_object(statement.value)
        self.shared.objects = self.shared.objects | variables if is_object else self.shared.objects - variables
        match statement:
            case ast.Assign(targets=[ast.Name()], value=value) if self.is_own(value):
                self.shared.own |= variables
            case ast.Import(names=[ast.alias(name="solution")]) | ast.ImportFrom(module="solution"):
                self.shared.own |= variables
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if self.number:
                return self._as_local(made)
            case _:
                self.shared.own -= variables
        for item in ast.walk(made):
            if isinstance(item, ast.Attribute | ast.Subscript) and not isinstance(item.ctx, ast.Load):
                self.shared.own -= loaded_names(item)  # the test gives it something
        return made

    def _as_local(self, made: ast.stmt) -> ast.stmt:
        """Define what a function of the test defines, by a function of the same name, which is a part of its own."""
        name = str(vars(made)["name"])
        around = self.name if self.name in self.shared.defined else f"{LOCAL}{self.number}__"
        maker = ast.parse(f"def {around}():\n    return {name}\n{self.variable(name)} = {around}()")
        vars(maker.body[0])["body"].insert(0, made)
        return ast.If(test=ast.Constant(value=True), body=maker.body, orelse=[])

    def has_check(self, node: ast.AST) -> bool:
        """Tell whether something decides about the program.

        Args:
            node: A statement or expression.

        Returns:
            Whether it checks something, or uses a function of the test that does.
        """
        is_named = isinstance(node, DefinitionNode) and node.name in self.shared.checked
        return is_named or has_check(node, self.shared.checked)

    def refuse_method(self, name: str, attribute: str) -> None:
        """Refuse what uses a method that checks something other than by a call.

        Args:
            name: What stands before the dot.
            attribute: What stands behind it.

        Raises:
            UndividedError: It is such a method.
        """
        owner = self.owner(name)
        held = self.find(name) if owner is not None and name in owner._values else None
        checks = self.define(held) if isinstance(held, ast.ClassDef) else getattr(held, "checks", ())
        if any(one.name == attribute for one in checks):
            raise UndividedError

    def define(self, kind: ast.ClassDef) -> tuple[ast.FunctionDef, ...]:
        """Define a class of the test without the methods that check something.

        Args:
            kind: The class.

        Returns:
            These methods, and those of its bases behind them.

        Raises:
            UndividedError: The class needs them.
        """
        if kind.name in self.shared.classes:
            return self.shared.classes[kind.name]
        home = self.shared.homes[id(kind)]
        own = [node for node in kind.body if self.has_check(node)]
        checks = [node for node in own if isinstance(node, ast.FunctionDef)]
        for base in kind.bases:
            held = home.find(base.id) if isinstance(base, ast.Name) else None
            checks += home.define(held) if isinstance(held, ast.ClassDef) else ()
        rest = deepcopy(kind)
        rest.body = [stub_of(node) if node in own else deepcopy(node) for node in kind.body]
        used = {item.attr for item in ast.walk(rest) if isinstance(item, ast.Attribute)}
        is_whole = not all(isinstance(node, ast.FunctionDef) for node in own)
        if is_whole or home.number or kind.decorator_list or used & {one.name for one in checks}:
            raise UndividedError
        self.shared.homes |= {id(node): home for node in checks if id(node) not in self.shared.homes}
        self.shared.classes[kind.name] = tuple(checks)
        self.shared.emit(ast.fix_missing_locations(Rewriter(home).visit(rest)))
        return tuple(checks)

    def is_own(self, node: ast.expr) -> bool:
        """Tell whether a value is the program's own answer, and not what the test makes of one.

        Args:
            node: The expression.

        Returns:
            Whether it certainly is.
        """
        match node:
            case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
                held = self.find(name) if self.owner(name) else None
                if not isinstance(held, str | None):
                    return False
                variable = name if held is None else held
                if variable in self.shared.defined or variable.startswith(LOCAL):
                    return variable in self.shared.own
                return variable not in _BUILTINS
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id=name)), attr=method)) if self.owner(
                name
            ) and isinstance(self.find(name), Instance):
                return method not in _METHODS  # of what a set-up made
            case ast.Call(func=ast.Attribute(value=inner, attr=name)):
                return name not in _METHODS and self.is_own(inner)
            case ast.Attribute(value=inner) | ast.Subscript(value=inner):
                return self.is_own(inner)
        return False

    def is_object(self, node: ast.expr) -> bool:
        """Tell whether a value is an object of a class of the program or the test.

        Args:
            node: The expression.

        Returns:
            Whether it is made by a call of what is named like a class.
        """
        match node:
            case ast.Name(id=name):
                held = self.find(name) if self.owner(name) else None
                return isinstance(held, Instance) or held in self.shared.objects
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                return name.lstrip("_")[:1].isupper()
        return False

    def table(self, value: ast.expr) -> ast.expr:
        """Write the tables that a loop goes over into an expression, and use them up if their rows can change.

        Args:
            value: The expression.

        Returns:
            A copy.

        Raises:
            UndividedError: The test has another meaning for `zip` and its like.
        """
        match value:
            case ast.Name(id=name):
                owner = self.owner(name)
                held = owner._values.get(name) if owner else None
                if owner is not None and isinstance(held, ast.expr) and not _has_fixed_items(held):
                    owner._values[name] = _Used()
                return held if isinstance(held, ast.expr) else value
            case ast.Call(func=ast.Attribute(value=inner, attr=view), args=[], keywords=[]):
                return ast.Call(func=ast.Attribute(value=self.table(inner), attr=view), args=[], keywords=[])
            case ast.Call(func=ast.Name(id=name)) if self.owner(name):
                raise UndividedError
            case ast.Call(func=ast.Name(id="zip" | "enumerate" as name), args=[first, *rest], keywords=words):
                others = rest if name == "enumerate" else [self.table(one) for one in rest]
                return ast.Call(func=value.func, args=[self.table(first), *others], keywords=words)
        return self._substituted(value, only_fixed=True)  # the other names in its rows may stand for one object

    def tables(self, value: ast.expr) -> dict[str, ast.expr]:
        """Find the tables by name that a loop goes over and that could change while it does.

        Args:
            value: What the loop goes over.

        Returns:
            Literals by name.
        """
        owned = {name: owner for name in loaded_names(value) if (owner := self.owner(name))}
        held = {name: owner._values.get(name) for name, owner in owned.items()}
        return {
            name: one for name, one in held.items() if isinstance(one, ast.List | ast.Dict) and _has_fixed_items(one)
        }

    def are_unseen(self, tables: dict[str, ast.expr]) -> bool:
        """Tell whether nothing beside the program has had the tables of a loop.

        Args:
            tables: Literals by name, before.

        Returns:
            Whether each name still stands for its literal.
        """
        return all((owner := self.owner(name)) and owner._values.get(name) is one for name, one in tables.items())

    def bind_row(self, target: ast.expr, row: ast.expr) -> None:
        """Bind the targets of a loop to a row.

        Args:
            target: The names.
            row: A literal, or names.

        Raises:
            UndividedError: Their shapes differ, or it is something else.
        """
        match target, row:
            case ast.Name(id=name), ast.Name(id=other) if not is_literal(row):
                owner, held = self.owner(other), self.find(other)
                if owner is not None and isinstance(held, ast.expr) and not is_fixed(held):
                    held = owner.materialise(other)
                self.hold(name, held or other)
                if isinstance(held, str):
                    self._own_variable(name)  # the other name may be bound to something else
            case ast.Name(id=name), _ if is_literal(row):
                self.hold(name, row)
                if holds_nan(row):
                    self.materialise(name)
            case ((ast.Tuple(elts=names) | ast.List(elts=names)), (ast.Tuple(elts=items) | ast.List(elts=items))) if (
                len(names) == len(items)
            ):
                for one, item in zip(names, items, strict=True):
                    self.bind_row(one, item)
            case _:
                raise UndividedError


def _has_fixed_items(table: ast.expr) -> bool:
    match table:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Dict(values=items):
            return all(map(is_fixed, items))
    return is_fixed(table)
