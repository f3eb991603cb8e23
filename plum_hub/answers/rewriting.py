"""Rewrite what a test does such that it can run outside its function: its names become variables of their own."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from plum_hub.answers.fixtures import own_nodes
from plum_hub.answers.source import DefinitionNode, stored_names

if TYPE_CHECKING:
    from plum_hub.answers.scopes import Scope

_Comprehension = TypeVar("_Comprehension", ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Function = TypeVar("_Function", ast.FunctionDef, ast.AsyncFunctionDef)


class UndividedError(Exception):
    """The statement cannot be taken apart such that it certainly means the same."""


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Find the names that nodes bind in the scope that they belong to.

    Args:
        nodes: Nodes of one scope, such as those of a function without those of functions inside it.

    Returns:
        The names, without the targets of comprehensions.
    """
    nodes = list(nodes)
    inner = {
        id(item) for node in nodes if isinstance(node, ast.comprehension) for item in ast.walk(node.target)
    }  # they have a scope of their own
    names: set[str] = set()
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if id(node) not in inner:
                names.add(name)
            case ast.ExceptHandler(name=str(name)):
                names.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                names |= stored_names(node)
    return names


def names_of_parameters(arguments: ast.arguments) -> set[str]:
    """Find the parameters of a function.

    Args:
        arguments: Its arguments.

    Returns:
        Their names.
    """
    return {one.arg for one in ast.walk(arguments) if isinstance(one, ast.arg)}


def bound_by(statement: ast.stmt) -> set[str]:
    """Find the names that a statement binds in its own scope.

    Args:
        statement: The statement.

    Returns:
        The names.
    """
    if isinstance(statement, (*DefinitionNode, ast.Import, ast.ImportFrom)):
        return stored_names(statement)
    return bound_names([statement, *own_nodes(statement)])


class Rewriter(ast.NodeTransformer):
    """Replaces the names of a scope by variables, or by fixed values where no function of the test reads them later."""

    def __init__(self, scope: "Scope") -> None:
        """Begin outside any function.

        Args:
            scope: The scope of the code.
        """
        self._scope = scope
        self._hidden: list[set[str]] = []
        self._is_later = self._is_text = False

    @contextmanager
    def _inside(self, names: set[str], *, is_later: bool) -> Iterator[None]:
        before = self._is_later
        self._is_later = before or is_later
        self._hidden.append(names)
        yield
        self._hidden.pop()
        self._is_later = before

    def _all(self, nodes: Sequence[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if any(node.id in names for names in self._hidden):
            return node
        if not isinstance(node.ctx, ast.Load):
            return ast.Name(id=self._scope.variable(node.id), ctx=node.ctx)
        found = self._scope.read(node.id, is_later=self._is_later, as_value=not self._is_text)
        return ast.Name(id=found, ctx=ast.Load()) if isinstance(found, str) else found

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and not any(node.value.id in names for names in self._hidden):
            self._scope.refuse_method(node.value.id, node.attr)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key), ctx=ast.Load()) if not (
                self._is_later or self._is_text or any(name in names for names in self._hidden)
            ):
                return self._scope.picked(name, key) or self.generic_visit(node)
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        before, self._is_text = self._is_text, True  # a literal's quotes may not fit into it
        self.generic_visit(node)
        self._is_text = before
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self._arguments(node.args)
        with self._inside(names_of_parameters(node.args), is_later=True):
            node.body = self.visit(node.body)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: _Function) -> _Function:
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        node.args = self._arguments(node.args)
        node.returns = None if node.returns is None else self.visit(node.returns)
        names = names_of_parameters(node.args) | bound_names(own_nodes(node))
        with self._inside(names, is_later=True):
            node.body = [self.visit(one) for one in node.body]
        return node

    def _arguments(self, arguments: ast.arguments) -> ast.arguments:
        for one in ast.walk(arguments):
            if isinstance(one, ast.arg) and one.annotation is not None:
                one.annotation = self.visit(one.annotation)
        arguments.defaults = [self.visit(one) for one in arguments.defaults]
        arguments.kw_defaults = [None if one is None else self.visit(one) for one in arguments.kw_defaults]
        return arguments

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        names = {name for one in node.body for name in bound_by(one)}
        if any(map(self._scope.owner, names)):
            raise UndividedError  # the body may read the name from the class or from around it
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        node.bases = [self.visit(one) for one in node.bases]
        self._all(node.keywords)
        with self._inside(names, is_later=True):
            node.body = [self.visit(one) for one in node.body]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name is not None and not any(node.name in names for names in self._hidden):
            node.name = self._scope.variable(node.name)
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.AST:
        if self._scope.number and not self._is_later:
            for alias in node.names:
                if alias.name == "*" or ("." in alias.name and alias.asname is None):
                    raise UndividedError
                alias.asname = self._scope.variable(alias.asname or alias.name)
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: _Comprehension) -> _Comprehension:
        node.generators[0].iter = self.visit(node.generators[0].iter)
        targets = {item.id for one in node.generators for item in ast.walk(one.target) if isinstance(item, ast.Name)}
        with self._inside(targets, is_later=isinstance(node, ast.GeneratorExp)):
            for number, one in enumerate(node.generators):
                one.iter = self.visit(one.iter) if number else one.iter
                one.ifs = [self.visit(test) for test in one.ifs]
            if isinstance(node, ast.DictComp):
                node.key, node.value = self.visit(node.key), self.visit(node.value)
            else:
                node.elt = self.visit(node.elt)
        return node
