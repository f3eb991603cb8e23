"""Determine which names the statements of a program read, bind and modify, directly or through calls.

Scopes come from Python's own symbol tables, so that a local name is not confused with the module's name.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from plum_hub.answers.source import DefinitionNode, FunctionNode, parse

ANY_NAME = "*"
"""Stands for every name, where a program computes the names that it reads or modifies."""

_STRING = re.compile(r"""(?sx) "{3}.*?"{3} | '{3}.*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' """)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_NAMESPACES = frozenset({"globals", "vars", "locals"})
_FIXED_CALLS = frozenset(
    {"int", "float", "str", "bool", "len", "sum", "abs", "round", "ord", "chr", "pow", "tuple", "frozenset", "range"}
)
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
"""Functions whose calls, as statements, only report results or wait, and prepare nothing."""


def names_in(source: str) -> set[str]:
    """Find identifiers by regular expression, outside strings and not after a dot; fast on long test arguments.

    Args:
        source: Python source.

    Returns:
        The identifiers, keywords included.
    """
    return set(_NAME.findall(_STRING.sub(" ", source)))


def executed_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over the nodes that run when a node runs, which excludes the bodies of functions that are only defined.

    Args:
        node: A statement or expression.

    Yields:
        The node and its executed descendants.
    """
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, FunctionNode):
        children = [
            *node.decorator_list,
            *node.args.defaults,
            *(default for default in node.args.kw_defaults if default),
        ]
    elif isinstance(node, ast.Lambda):
        children = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
    for child in children:
        yield from executed_nodes(child)


def acts(nodes: Iterable[ast.AST]) -> bool:
    """Return whether something may be modified that is not bound.

    Args:
        nodes: Nodes that run.

    Returns:
        True if there is a call, an operator that stands alone, a context, or an attribute or item that is set.
    """
    for node in nodes:
        match node:
            case ast.Call() | ast.With() | ast.AsyncWith() | ast.AugAssign() | ast.Expr(value=ast.BinOp()):
                return True
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                return True
    return False


def root_name(node: ast.AST) -> str | None:
    """Find the variable at the base of an expression of attributes, subscripts and method calls.

    Args:
        node: An expression, such as `a.b[0].c()`.

    Returns:
        The name (`a`); `ANY_NAME` for `globals()`, `sys.modules[...]` and the like; None if there is no such variable.
    """
    while True:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Call(func=ast.Name(id=name)) if name in _NAMESPACES:
                return ANY_NAME
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id="sys"), attr="modules")):
                return ANY_NAME
            case ast.Call(func=ast.Attribute(value=inner)) | ast.Attribute(value=inner) | ast.Subscript(value=inner):
                node = inner
            case ast.Starred(value=inner) | ast.Await(value=inner):
                node = inner
            case _:
                return None


def _read_names(statement: ast.stmt) -> frozenset[str]:
    """Return the module's names that a statement reads, with `ANY_NAME` if it looks names up dynamically."""
    source = ast.unparse(ast.fix_missing_locations(ast.Module([statement], type_ignores=[])))
    try:
        names = set(_global_reads(symtable.symtable(source, "", "exec")))
    except SyntaxError:  # for example, a `return` outside a function
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for node in ast.walk(statement):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        for part in ast.walk(annotation) if isinstance(annotation, ast.AST) else ():
            if isinstance(part, ast.Name):
                names.add(part.id)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and (tree := parse(part.value)):
                names |= {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)}
        if isinstance(node, ast.Attribute) and (
            node.attr in ("__globals__", "f_globals") or (node.attr == "modules" and root_name(node) == "sys")
        ):
            names.add(ANY_NAME)
        if isinstance(node, ast.Call) and root_name(node.func) == "vars" and not node.args:
            names.add(ANY_NAME)
    return frozenset(names | ({ANY_NAME} if names & _DYNAMIC else set()))


def _global_reads(table: symtable.SymbolTable) -> Iterator[str]:
    at_module, in_class = table.get_type() == "module", table.get_type() == "class"
    for symbol in table.get_symbols():
        reads = symbol.is_referenced() and (at_module or in_class or symbol.is_global())
        if reads or symbol.is_declared_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_reads(child)


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """Iterate over the names that a module-level statement binds or deletes when it runs.

    Args:
        statement: The statement.

    Yields:
        Names, possibly repeated.
    """
    if isinstance(statement, DefinitionNode):
        yield statement.name
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        yield "__doc__"
    walk = executed_nodes(statement)
    if isinstance(statement, DefinitionNode):  # names bound in a class body are local to it
        walk = (node for part in statement.decorator_list for node in executed_nodes(part))
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
    """Iterate over the names whose values are modified in place: by items, attributes or mutating methods.

    Args:
        nodes: Nodes that run.

    Yields:
        Names, possibly repeated; `ANY_NAME` for `exec`.
    """
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
    """The functions, classes and methods of a program by name, with what a call of each may modify or reach.

    Attributes:
        tree: The program.
        entry_point: The name that the tests call; its own effects are not followed.
    """

    tree: ast.Module
    entry_point: str
    _reads: dict[int, frozenset[str]] = field(default_factory=dict)

    def reads(self, statement: ast.stmt) -> frozenset[str]:
        """Find the module's names that a statement reads in any scope; cached.

        Args:
            statement: The statement.

        Returns:
            The names, with `ANY_NAME` if the statement looks names up dynamically.
        """
        if id(statement) not in self._reads:
            self._reads[id(statement)] = _read_names(statement)
        return self._reads[id(statement)]

    @cached_property
    def _named(self) -> dict[str, list[ast.stmt]]:
        definitions_by_name: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            for name in bound_names(statement):
                definitions_by_name.setdefault(name, []).append(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.ClassDef):
                    for method in node.body:
                        if isinstance(method, FunctionNode):
                            definitions_by_name.setdefault(f".{method.name}", []).append(method)
        return definitions_by_name

    def defines(self, name: str) -> bool:
        """Return whether the program defines a function or class of this name.

        Args:
            name: The name; methods have a leading dot.

        Returns:
            True if there is such a definition.
        """
        return any(map(_is_callable, self._named.get(name, ())))

    def binds(self, name: str) -> bool:
        """Return whether a statement of the program binds a name.

        Args:
            name: The name.

        Returns:
            True if there is such a statement.
        """
        return name in self._named

    def reaches_entry(self, nodes: Iterable[ast.AST]) -> bool:
        """Return whether nodes call the entry point, directly or through functions of the program.

        Args:
            nodes: Nodes that run.

        Returns:
            True if the entry point is reachable.
        """
        return self.entry_point in self._closure(_loads(nodes))

    def changed_by_calls(self, nodes: Iterable[ast.AST]) -> frozenset[str]:
        """Find the names that the called functions of the program modify; effects of the entry point are left out.

        Args:
            nodes: Nodes that run.

        Returns:
            The names.
        """
        called: set[str] = set()
        for node in nodes:
            match node:
                case ast.Call(func=ast.Name(id=name)):
                    called.add(name)
                case ast.Call(func=ast.Attribute(attr=name)):
                    called.add(f".{name}")
        return self._changes(called)

    def changed_by_values(self, nodes: Iterable[ast.AST]) -> frozenset[str]:
        """Find the names that functions of the program modify, whether nodes call them or hand them to others.

        Args:
            nodes: Nodes that run.

        Returns:
            The names.
        """
        nodes = list(nodes)
        inner = (part for node in nodes if isinstance(node, ast.Lambda) for part in ast.walk(node))
        return self.changed_by_calls(nodes) | self._changes(set(_loads(nodes))) | set(changed_names(inner))

    def touched(self, statement: ast.stmt) -> frozenset[str]:
        """Find what a statement could modify by any way: all that it reaches and that does not stay as it is.

        Args:
            statement: A statement that calls, stores in, or enters something.

        Returns:
            The names, with `ANY_NAME` if names are looked up dynamically; none if the statement may ask for input or
            checks something.
        """
        reached = self._closure(
            self.reads(statement) | (set(bound_names(statement)) if isinstance(statement, ast.AugAssign) else set())
        )
        called = (one for name in reached if name != self.entry_point for one in self._named.get(name, ()))
        if "input" in reached or _checks(executed_nodes(statement)) or any(_checks(ast.walk(one)) for one in called):
            return frozenset()
        return frozenset(name for name in reached if name == ANY_NAME or self._varies(name))

    def _varies(self, name: str) -> bool:
        """Return whether what a name stands for may be modified; so may files, which `open` stands for."""
        if name in self._rebound or name == "open":
            return True
        return any(_may_vary(statement) for statement in self._named.get(name, ()))

    @cached_property
    def _rebound(self) -> frozenset[str]:
        """The names that functions assign, and whose attributes are set anywhere."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Global(names=names):
                    found.update(names)
                case ast.Attribute(value=held, ctx=ast.Store() | ast.Del()):
                    found.update(_known(root_name(held)))
        return frozenset(found)

    def changed_by_decorators(self, node: ast.AST) -> frozenset[str]:
        """Find the names that the decorators inside a definition modify, and the objects whose methods they are.

        Args:
            node: The definition.

        Returns:
            The names.
        """
        changed: set[str] = set()
        called: set[str] = set()
        for part in ast.walk(node):
            for decorator in part.decorator_list if isinstance(part, DefinitionNode) else ():
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                match function:
                    case ast.Name(id=name):
                        called.add(name)
                    case ast.Attribute(attr=name):
                        called.add(f".{name}")
                        changed |= set(_known(root_name(function)))
        return frozenset(changed) | self._changes(called)

    def changed_by_class(self, node: ast.ClassDef) -> frozenset[str]:
        """Find the names that the bases and the metaclass of a class may modify when it is defined.

        Args:
            node: The class.

        Returns:
            The names.
        """
        bases = [*node.bases, *(keyword.value for keyword in node.keywords)]
        return self._changes({name for base in bases for name in _known(root_name(base))})

    def _changes(self, called: set[str]) -> frozenset[str]:
        changed: set[str] = set()
        for name in self._closure(called):
            if name != self.entry_point:
                for statement in self._named.get(name, ()):
                    if _is_callable(statement):
                        changed |= self._written(statement)
        return frozenset(changed)

    def _written(self, definition: ast.stmt) -> set[str]:
        """Return the names that a definition assigns through `global`, or modifies in place."""
        nodes = list(ast.walk(definition))
        declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        return declared | (set(changed_names(nodes)) & (self.reads(definition) | {ANY_NAME}))

    def _closure(self, names: Iterable[str]) -> set[str]:
        reached: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name in reached:
                continue
            reached.add(name)
            for statement in self._named.get(name, ()):
                if name != self.entry_point and not isinstance(statement, ast.Import | ast.ImportFrom):
                    pending += self.reads(statement)
        return reached


def _is_callable(statement: ast.stmt) -> bool:
    """Return whether a statement binds a name to code: a definition, or a lambda."""
    lambdas = isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Lambda)
    return isinstance(statement, DefinitionNode) or lambdas


def _checks(nodes: Iterable[ast.AST]) -> bool:
    """Return whether there is an assertion among nodes, written in one of two ways."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.unparse(node))
        for node in nodes
    )


def _may_vary(statement: ast.stmt) -> bool:
    """Return whether what a statement binds can change: not so numbers, texts, or functions that keep nothing."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return False
        case ast.FunctionDef(args=arguments) | ast.AsyncFunctionDef(args=arguments):
            defaults = [*arguments.defaults, *(one for one in arguments.kw_defaults if one)]
            return not all(map(_is_fixed, defaults))
        case ast.ClassDef(body=body):
            values = [item.value for item in body if isinstance(item, ast.Assign | ast.AnnAssign) and item.value]
            stores = (
                node
                for node in ast.walk(statement)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            )
            return not all(map(_is_fixed, values)) or any(root_name(node) != "self" for node in stores)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return not _is_fixed(value)
    return not isinstance(statement, ast.AnnAssign)


def _is_fixed(value: ast.expr) -> bool:
    """Return whether a value is of a type that cannot be modified, or is another name's."""
    match value:
        case ast.Constant() | ast.Name() | ast.JoinedStr() | ast.Compare() | ast.Lambda():
            return True
        case ast.UnaryOp(operand=inner):
            return _is_fixed(inner)
        case ast.BinOp(left=left, right=right):
            return _is_fixed(left) and _is_fixed(right)
        case ast.Tuple(elts=items):
            return all(map(_is_fixed, items))
        case ast.Call(func=ast.Name(id=name)):
            return name in _FIXED_CALLS
    return False


def _loads(nodes: Iterable[ast.AST]) -> Iterator[str]:
    return (node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
