"""Read a test module as a script that is run by itself, beside the program under test.

The program's module is `solution`, whatever name tests give it, `__main__` among them. What is guarded by
`if __name__ == "__main__"` is run. An exit with success lets the statements reach their end instead, by which a pass
is proved; any other exit fails.
"""

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy

from plum_hub.answers.plain import LEFT, called_name
from plum_hub.answers.program_imports import own_imports
from plum_hub.answers.source import DefinitionNode, FunctionNode, stored_names, substitute

_PATCHES = frozenset({"patch", "multiple", "dict", "setattr", "delattr", "import_module"})
_NAMED = frozenset({"exit", "quit"})
_LEAVES = frozenset({"sys.exit", "os._exit"})


def standalone(body: Sequence[ast.stmt], entry_point: str) -> list[ast.stmt]:
    """Import the program as `solution`, and run what only a script runs.

    Args:
        body: The statements of the module; they are not modified.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        The statements.
    """
    if any(isinstance(node, ast.Constant) and "__main__" in str(node.value) for top in body for node in ast.walk(top)):
        body = [_OfProgram().visit(deepcopy(node)) for node in body]
    return list(_unguarded(own_imports(body, entry_point)))


def without_exits(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Let statements that would end the process with success at their end go on to their end.

    Args:
        body: The statements; they are modified.

    Returns:
        The statements, in which any other exit at the end fails; the same ones if they expect an exit of something.

    Raises:
        ValueError: They always exit with success before their end, where they could prove nothing.
    """
    nodes = [node for top in body for node in ast.walk(top)]
    raised = {id(part) for node in nodes if isinstance(node, ast.Raise) for part in ast.walk(node)}
    if any(isinstance(node, ast.Name) and node.id == "SystemExit" and id(node) not in raised for node in nodes):
        return list(body)
    own = {name for node in body if not isinstance(node, ast.ImportFrom) for name in stored_names(node)} & _NAMED
    found = _ended(body, own)
    for node in found:
        if isinstance(node, FunctionNode) and not node.name.startswith("test"):
            node.body = _ended(node.body, own)
    for node in [*found, *(item for test in found if isinstance(test, FunctionNode) for item in test.body)]:
        code = _exit_code(node, own)
        if isinstance(code, ast.Constant) and not code.value:
            raise ValueError(f"line {getattr(node, 'lineno', 0)}: it exits before its end: remove the exit")
    return [ast.fix_missing_locations(node) for node in found]


def _ended(body: Sequence[ast.stmt], own: set[str], *, is_caught: bool = False) -> list[ast.stmt]:
    """Rewrite the exits at the end of statements."""
    if not body:
        return []
    body = _with_else(body, own)
    *first, last = body
    match last:
        case ast.If():
            last.body = _ended(last.body, own, is_caught=is_caught)
            last.orelse = _ended(last.orelse, own, is_caught=is_caught)
        case ast.With() | ast.AsyncWith():
            last.body = _ended(last.body, own, is_caught=True)
        case ast.Try() if not any(map(_catches_exits, last.handlers)):
            last.body = last.body if last.orelse else _ended(last.body, own, is_caught=True)
            last.orelse = _ended(last.orelse, own, is_caught=is_caught)
            for handler in last.handlers:
                handler.body = _ended(handler.body, own, is_caught=is_caught)
        case _ if (code := _exit_code(last, own)) is not None:
            return [*first, ast.copy_location(_passed_only(code, is_caught=is_caught), last)]
    return [*first, last]


def _catches_exits(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or "BaseException" in ast.unparse(handler.type)


def _with_else(body: Sequence[ast.stmt], own: set[str]) -> Sequence[ast.stmt]:
    """Put what follows a branch that exits into its `else`."""
    for place, node in enumerate(body[:-1]):
        rest = body[place + 1 :]
        if any(isinstance(one, (*DefinitionNode, ast.Import, ast.ImportFrom)) for one in rest):
            continue
        if isinstance(node, ast.If) and not node.orelse and _exit_code(node.body[-1], own) is not None:
            return [*body[:place], ast.copy_location(ast.If(node.test, node.body, list(rest)), node)]
    return body


def _exit_code(node: ast.stmt, own: set[str]) -> ast.expr | None:
    """Return what a statement exits with; None if it does not exit."""
    match node:
        case ast.Expr(value=ast.Call(func=function, args=args, keywords=[])) if len(args) < 2:
            leaves = ast.unparse(function)
            if leaves not in _LEAVES and (leaves not in _NAMED or leaves in own):
                return None
        case ast.Raise(exc=ast.Name(id="SystemExit")):
            args = []
        case ast.Raise(exc=ast.Call(func=ast.Name(id="SystemExit"), args=args, keywords=[])) if len(args) < 2:
            pass
        case _:
            return None
    return args[0] if args else ast.Constant(value=None)


def _passed_only(code: ast.expr, *, is_caught: bool) -> ast.stmt:
    """Return a statement that fails unless an exit code is that of success; what catches failures does not catch it."""
    if isinstance(code, ast.Constant) and (code.value is None or code.value == 0):
        return ast.Pass()
    if isinstance(code, ast.Constant):
        return substitute(ast.parse(f"raise {LEFT}(__code__)").body[0], {"__code__": code})
    if is_caught:
        source = f"if (__code__ := __exit__) is not None and __code__ != 0: raise {LEFT}(__code__)"
        return substitute(ast.parse(source).body[0], {"__exit__": code})
    return ast.Assert(ast.Compare(code, [ast.In()], [ast.parse("(None, 0)", mode="eval").body]))


class _OfProgram(ast.NodeTransformer):
    """Names the program's module `solution` where tests look for it in `__main__`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if node.args and called_name(node.func) in _PATCHES:
            node.args[0] = self._named(node.args[0])
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.value) == "sys.modules":
            node.slice = self._named(node.slice)
        return node

    @staticmethod
    def _named(node: ast.expr) -> ast.expr:
        match node:
            case ast.Constant(value=str(text)) if text.split(".")[0] == "__main__":
                return ast.copy_location(ast.Constant(text.replace("__main__", "solution", 1)), node)
        return node


def _unguarded(body: Iterator[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        match node:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]), body=inner):
                yield from inner
            case _:
                yield node
