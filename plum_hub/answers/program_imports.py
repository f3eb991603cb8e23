"""Read how tests import the program: as a module of whatever name, of which they take names."""

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from copy import deepcopy

from plum_hub.answers.aliases import FRAMEWORKS

_MODULES = frozenset(
    {"", "__main__", "solution", "main", "module", "program", "code", "candidate", "app", "src", "answer"}
)
"""Names under which tests import the program; that of a relative import is empty."""
_OTHERS = (sys.stdlib_module_names - {"this"}) | {"numpy", "pandas", *FRAMEWORKS}


def own_imports(body: Sequence[ast.stmt], entry_point: str) -> Iterator[ast.stmt]:
    """Yield the statements of tests with the program's own module, whatever its name, imported as `solution`.

    Args:
        body: The statements.
        entry_point: The name that the program must define; "" if unknown.

    Yields:
        The statements, without what names alone take from the program: they are the program's in tests too.
    """
    yield from _rewritten(body, _Rewriter(body, {entry_point}))


def imported_names(tests: ast.Module, defined: Set[str]) -> Counter[str]:
    """Count how often tests use each name that they import from the program.

    Args:
        tests: The tests.
        defined: Names that the program may define; a module of which one is imported is the program.

    Returns:
        The uses of each imported name, under the name that it has in the program.
    """
    tree = _Rewriter(tests.body, defined).visit(deepcopy(tests))
    names: dict[str, str] = {}
    modules: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="solution", names=aliases):
                names |= {alias.asname or alias.name: alias.name for alias in aliases if alias.name != "*"}
            case ast.Import(names=[ast.alias(name="solution", asname=name)]):
                modules.add(name or "solution")
    uses = Counter(dict.fromkeys(names.values(), 0))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in modules:
                uses[name] += 1
            case ast.Name(id=name, ctx=ast.Load()) if name in names:
                uses[names[name]] += 1
    return uses


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _is_module(module: str, defined: Set[str]) -> bool:
    """Tell whether a module of this name is the program, of which these names are known."""
    top = module.split(".", maxsplit=1)[0]
    return top not in _OTHERS and (top in _MODULES | defined or top.startswith(("your_", "my_", "solution")))


def _is_program(node: ast.ImportFrom, defined: Set[str]) -> bool:
    module = node.module or ""
    if node.level or _is_module(module, defined):
        return True
    return module.split(".", maxsplit=1)[0] not in _OTHERS and bool(
        (defined | {"*"}) & {alias.name for alias in node.names}
    )


def _rewritten(body: Sequence[ast.stmt], rewriter: "_Rewriter") -> Iterator[ast.stmt]:
    for node in body:
        match node:
            case ast.ImportFrom() if rewriter.is_program(node):
                kept = [alias for alias in node.names if not _is_plain(alias) or rewriter.is_submodule(node, alias)]
                yield from rewriter.imports(node, kept)  # names without an alias are the program's own
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                yield ast.copy_location(ast.If(node.test, list(_rewritten(node.body, rewriter)), node.orelse), node)
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="path")))
            ):
                continue  # the program lies beside no test
            case _:
                made = rewriter.visit(node)
                yield from made if isinstance(made, list) else [made]


def _is_plain(alias: ast.alias) -> bool:
    return alias.name == "*" or alias.asname in (None, alias.name)


class _Rewriter(ast.NodeTransformer):
    """Imports the program as `solution` wherever tests import it."""

    def __init__(self, body: Sequence[ast.stmt], defined: Set[str]) -> None:
        self._defined = defined
        self._modules = {
            (node.module or "").split(".")[0]
            for top in body
            for node in ast.walk(top)
            if isinstance(node, ast.ImportFrom) and _is_program(node, defined)
        }

    def is_program(self, node: ast.ImportFrom) -> bool:
        """Tell whether names are imported from the program."""
        return _is_program(node, self._defined) or (node.module or "").split(".")[0] in self._modules

    def is_submodule(self, node: ast.ImportFrom, alias: ast.alias) -> bool:
        """Tell whether it is the program itself that is imported, as in `from . import solution`."""
        return alias.name not in self._defined | {"*"} and (node.module is None or alias.name == "solution")

    def imports(self, node: ast.ImportFrom, names: Sequence[ast.alias]) -> list[ast.stmt]:
        """Return the statements that import names, or the module itself, from `solution`."""
        modules = [alias for alias in names if self.is_submodule(node, alias)]
        rest = [alias for alias in names if alias not in modules]
        made: list[ast.stmt] = [
            ast.Import(names=[ast.alias(name="solution", asname=alias.asname or alias.name)]) for alias in modules
        ]
        made += [ast.ImportFrom(module="solution", names=rest, level=0)] if rest else []
        return [ast.copy_location(one, node) for one in made]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        return self.imports(node, node.names) if self.is_program(node) else node

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        if not any(self._is_module(alias.name) for alias in node.names):
            return node
        made: list[ast.stmt] = []
        for alias in node.names:
            given = ast.alias(name="solution", asname=_bound(alias)) if self._is_module(alias.name) else alias
            made.append(ast.copy_location(ast.Import(names=[given]), node))
        return made

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Rewrite `sol = importlib.import_module("solution")`."""
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=function, args=[ast.Constant(value=str(module))])
            ) if ast.unparse(function) in ("importlib.import_module", "import_module", "__import__"):
                if self._is_module(module):
                    return ast.copy_location(ast.Import(names=[ast.alias(name="solution", asname=name)]), node)
        return node

    def _is_module(self, module: str) -> bool:
        return _is_module(module, self._defined) or module.split(".", maxsplit=1)[0] in self._modules
