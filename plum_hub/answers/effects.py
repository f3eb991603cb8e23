"""What the statements of a program do to its names: which they read, bind and change, at once or when called.

Scopes are those of Python's own symbol tables, so that a local name is not taken for the module's of the same name.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from plum_hub.answers.source import DefinitionNode, FunctionNode, parse

ANY_NAME = "*"
"""Stands for every name, where a program computes the names that it reads or changes."""

_STRING = re.compile(r"""(?sx) "{3}.*?"{3} | '{3}.*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' """)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_NAMESPACES = frozenset({"globals", "vars", "locals"})
_DYNAMIC = frozenset({"globals", "locals", "eval", "exec"})
_MUTATORS = frozenset(
    {"pop", "popitem", "popleft", "setdefault", "add", "append", "appendleft", "extend", "insert", "remove", "discard"}
    | {"update", "clear", "sort", "reverse", "register", "put", "push", "setattr"}
)
OUTPUT_CALLS = frozenset(
    {"print", "pprint", "input", "exit", "quit", "main", "testmod", "run", "show", "write", "writelines", "flush"}
    | {"_exit", "system", "sleep", "timeit", "info", "debug", "warning", "error", "exception", "critical", "log"}
    | {"read", "readline", "readlines", "run_docstring_examples", "Popen", "check_call", "call"}
)
"""Calls that, standing alone, tell of a solution or wait, and prepare nothing."""


def names_in(source: str) -> set[str]:
    """The names that stand in source code outside its strings and behind no dot; quick, for long arguments of tests."""
    return set(_NAME.findall(_STRING.sub(" ", source)))


def executed_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what in it runs with it: not the bodies of functions that are only defined."""
    yield node
    inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, FunctionNode):
        inner = [*node.decorator_list, *node.args.defaults, *(one for one in node.args.kw_defaults if one)]
    elif isinstance(node, ast.Lambda):
        inner = [*node.args.defaults, *(one for one in node.args.kw_defaults if one)]
    for child in inner:
        yield from executed_nodes(child)


def root_name(node: ast.AST) -> str | None:
    """The name from which an expression of attributes, items and calls of methods goes out."""
    while True:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Call(func=ast.Name(id=name)) if name in _NAMESPACES:
                return ANY_NAME
            case ast.Call(func=ast.Attribute(value=inner)) | ast.Attribute(value=inner) | ast.Subscript(value=inner):
                node = inner
            case ast.Starred(value=inner) | ast.Await(value=inner):
                node = inner
            case _:
                return None


def _read_names(statement: ast.stmt) -> frozenset[str]:
    """The names of the module that a statement reads, in whatever scope; with `ANY_NAME` where it looks them up by
    text."""
    source = ast.unparse(ast.fix_missing_locations(ast.Module([statement], type_ignores=[])))
    try:
        found = set(_global_reads(symtable.symtable(source, "", "exec")))
    except SyntaxError:  # such as a `return` outside a function
        found = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for node in ast.walk(statement):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        for part in ast.walk(annotation) if isinstance(annotation, ast.AST) else ():
            if isinstance(part, ast.Name):
                found.add(part.id)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and (tree := parse(part.value)):
                found |= {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)}
        if isinstance(node, ast.Attribute) and node.attr == "modules" and root_name(node) == "sys":
            found.add(ANY_NAME)
        if isinstance(node, ast.Call) and root_name(node.func) == "vars" and not node.args:
            found.add(ANY_NAME)
    return frozenset(found | ({ANY_NAME} if found & _DYNAMIC else set()))


def _global_reads(table: symtable.SymbolTable) -> Iterator[str]:
    at_module, in_class = table.get_type() == "module", table.get_type() == "class"
    for symbol in table.get_symbols():
        reads = symbol.is_referenced() and (at_module or in_class or symbol.is_global())
        if reads or symbol.is_declared_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_reads(child)


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of the module binds or deletes when it runs."""
    if isinstance(statement, DefinitionNode):
        yield statement.name
    walk = executed_nodes(statement)
    if isinstance(statement, DefinitionNode):  # what is bound in a class's body is its own
        walk = (one for part in statement.decorator_list for one in executed_nodes(part))
    for node in walk:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from ((alias.asname or alias.name).split(".")[0] for alias in aliases)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name


def changed_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names whose values are changed in place by what runs: items, attributes, and methods that change."""
    for node in nodes:
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                yield from _known(root_name(node))
            case ast.AugAssign(target=target):
                yield from _known(root_name(target))
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attribute) as method)) if (
                attribute not in OUTPUT_CALLS
            ):
                yield from _known(root_name(method))
            case ast.Call(func=ast.Attribute(attr=attribute) as method) if attribute in _MUTATORS:
                yield from _known(root_name(method))
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[first, *_]):
                yield from _known(root_name(first))
            case ast.Call(func=ast.Name(id="exec")):
                yield ANY_NAME


def _known(name: str | None) -> Iterator[str]:
    if name is not None:
        yield name


@dataclass(frozen=True)
class ProgramFunctions:
    """The functions and classes of a program, by name, methods included: what a call of one may change or reach."""

    tree: ast.Module
    entry_point: str
    _reads: dict[int, frozenset[str]] = field(default_factory=dict)

    def reads(self, statement: ast.stmt) -> frozenset[str]:
        """See `_read_names`."""
        if id(statement) not in self._reads:
            self._reads[id(statement)] = _read_names(statement)
        return self._reads[id(statement)]

    @cached_property
    def _named(self) -> dict[str, list[ast.stmt]]:
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in bound_names(statement):
                found.setdefault(name, []).append(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.ClassDef):
                    for method in node.body:
                        if isinstance(method, FunctionNode):
                            found.setdefault(f".{method.name}", []).append(method)
        return found

    def defines(self, name: str) -> bool:
        """Whether the program defines a function or class of this name."""
        return any(isinstance(statement, DefinitionNode) for statement in self._named.get(name, ()))

    def reaches_entry(self, nodes: Iterable[ast.AST]) -> bool:
        """Whether what runs calls the entry point, itself or through functions of the program."""
        return self.entry_point in self._closure(_loads(nodes))

    def changed_by_calls(self, nodes: Iterable[ast.AST]) -> frozenset[str]:
        """The names that functions of the program change, which what runs calls; what the entry point itself does is
        left out."""
        called: set[str] = set()
        for node in nodes:
            match node:
                case ast.Call(func=ast.Name(id=name)):
                    called.add(name)
                case ast.Call(func=ast.Attribute(attr=name)):
                    called.add(f".{name}")
        return self._changes(called)

    def changed_by_decorators(self, node: ast.AST) -> frozenset[str]:
        """The names that the decorators of a definition change, and the objects whose methods they are."""
        found: set[str] = set()
        called: set[str] = set()
        for part in ast.walk(node):
            for decorator in part.decorator_list if isinstance(part, DefinitionNode) else ():
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                match function:
                    case ast.Name(id=name):
                        called.add(name)
                    case ast.Attribute(attr=name):
                        called.add(f".{name}")
                        found |= set(_known(root_name(function)))
        return frozenset(found) | self._changes(called)

    def changed_by_class(self, node: ast.ClassDef) -> frozenset[str]:
        """The names that the bases and the metaclass of a class may change when it is defined."""
        of = [*node.bases, *(keyword.value for keyword in node.keywords)]
        return self._changes({name for one in of for name in _known(root_name(one))})

    def _changes(self, called: set[str]) -> frozenset[str]:
        found: set[str] = set()
        for name in self._closure(called):
            if name != self.entry_point:
                for statement in self._named.get(name, ()):
                    if isinstance(statement, DefinitionNode):
                        found |= self._written(statement)
        return frozenset(found)

    def _written(self, definition: ast.stmt) -> set[str]:
        """What a definition's own code assigns through `global`, or changes of the module's."""
        nodes = list(ast.walk(definition))
        declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        return declared | (set(changed_names(nodes)) & (self.reads(definition) | {ANY_NAME}))

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            for statement in self._named.get(name, ()):
                if name != self.entry_point and not isinstance(statement, ast.Import | ast.ImportFrom):
                    waiting += self.reads(statement)
        return found


def _loads(nodes: Iterable[ast.AST]) -> Iterator[str]:
    return (node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
