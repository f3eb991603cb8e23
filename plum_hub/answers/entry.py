"""Reduce a program to the part that its entry point and the tests need."""

import ast
from collections.abc import Collection, Iterable, Iterator

from plum_hub.answers.effects import (
    ANY_NAME,
    OUTPUT_CALLS,
    ProgramFunctions,
    acts,
    bound_names,
    changed_names,
    executed_nodes,
    root_name,
)
from plum_hub.answers.source import (
    DefinitionNode,
    breaks_off,
    definitions,
    is_import,
    longest_valid_prefix,
    missing_names,
    tree_of,
)

_FRAMEWORKS = frozenset({"pytest", "unittest", "doctest", "nose", "hypothesis"})
_HANDED_OUT = frozenset({"items", "values", "keys", "get", "setdefault", "__getitem__"})


def with_alias(code: str | None, old: str, new: str) -> str | None:
    """Give what a program defines a second name, so that tests which call it otherwise can run it.

    Args:
        code: The program; None if an answer held none.
        old: The name that the program was asked for.
        new: The name that the tests call.

    Returns:
        The program with an assignment at its end; unchanged if the names are equal, or it defines `new` itself.
    """
    tree = tree_of(code or "")
    if code is None or old == new or (tree is not None and new in definitions(tree)):
        return code
    return f"{code}\n\n{new} = {old}\n"


def needed_code(code: str, entry_point: str | None, used: Iterable[str] = (), *, whole: bool = False) -> str:
    """Remove code that only tries the program out.

    Models append examples to their answers, some of them wrong, and EvalPlus judges answers without them. The
    imports and everything that the entry point or the tests reach are kept, in their order: by name, through
    `global`, by statements that fill or modify what is reached, or could (a thread that is started, a callback), and
    by decorators that register something in it. If a program looks names up dynamically, all its definitions are
    kept. Assertions, calls that print or only call the entry point, `if __name__ == "__main__":` blocks, and
    everything from the first line that is not Python are removed.

    Args:
        code: The program.
        entry_point: The function that the tests call.
        used: Other names that the tests use.
        whole: Leave code as it is, so that it does not compile, if its first line that is not Python is within what is
            needed; EvalPlus judges the lines before it.

    Returns:
        The reduced program; the code unchanged if there is no entry point, the code does not define it, or the code
        does not start with Python.
    """
    program = longest_valid_prefix(code.split("\n"))
    tree = tree_of(program)
    if tree is None or not entry_point or entry_point not in definitions(tree):
        return code
    kept = [node for node in tree.body if not _is_trial(node)]
    if not all(_is_plain(node, entry_point) for node in kept):
        try:
            kept = _Needed(tree, entry_point).reached({entry_point, *used})
        except RecursionError:  # no real solution is nested that deeply
            return code
    if whole and kept[-1] is tree.body[-1] and breaks_off(tree, code[len(program) :]):
        return code
    lines = {number for node in kept for number in range(_first_line(node), (node.end_lineno or 0) + 1)}
    return "".join(f"{line}\n" for number, line in enumerate(program.split("\n"), 1) if number in lines)


def missing_helpers(
    code: str, prompt_code: str, entry_point: str | None, used: Collection[str], *, tests_only: bool = False
) -> str:
    """Find helpers of the prompt that a program omits although it or the tests need them.

    A prompt may define a helper that its tests use; an answer may repeat or omit it. Imports that the program
    itself lacks are not supplied, as a benchmark's official judge does not supply them either.

    Args:
        code: The program.
        prompt_code: The code that the prompt shows.
        entry_point: The function that the program must define; it is never supplied.
        used: The names that the tests use.
        tests_only: Supply only what the tests use, not what the program alone lacks.

    Returns:
        The source of the helpers; "" if nothing is missing.
    """
    prompt = tree_of(prompt_code)
    defined = {} if prompt is None else definitions(prompt)
    offered = {name for name, node in defined.items() if not isinstance(node, ast.Import | ast.ImportFrom)}
    offered.discard(entry_point or "")
    if prompt is None or not (offered & set(used) if tests_only else offered) or (tree := tree_of(code)) is None:
        return ""
    own = definitions(tree).keys()
    missing = set() if tests_only else missing_names(tree)
    needed = (missing | set(used)) & offered - own
    if not needed:
        return ""
    kept = _Needed(prompt, "").reached(needed)
    return "".join(f"{ast.unparse(node)}\n" for node in kept)


class _Needed:
    """Determines which statements of a module are reachable from some of its names."""

    def __init__(self, tree: ast.Module, entry_point: str) -> None:
        self._body = tree.body
        self._entry_point = entry_point
        self._functions = ProgramFunctions(tree, entry_point)
        self._imported = {name for node in tree.body if _imports(node) for name in bound_names(node)}
        self._from_outside = {
            name for node in tree.body if _called_root(_value(node)) in self._imported for name in bound_names(node)
        }
        self._aliases: dict[str, set[str]] = {}
        for node in tree.body:
            for name, other in _aliases(node):
                self._aliases.setdefault(name, set()).add(other)
        self._trials: set[int] = set()
        results: set[str] = set()
        for node in tree.body:
            if not isinstance(node, DefinitionNode) and (
                results & self._functions.reads(node) or self._functions.reaches_entry(executed_nodes(node))
            ):
                self._trials.add(id(node))
                results |= set(bound_names(node)) | set(changed_names(executed_nodes(node)))
                results -= self._imported | {entry_point}

    def reached(self, names: Iterable[str]) -> list[ast.stmt]:
        """Return the statements to keep, in source order."""
        needed = set(names)
        affected = {id(node): self._affects(node) for node in self._body if not _is_trial(node)}
        kept: set[int] = set()
        left = [node for node in reversed(self._body) if id(node) in affected]  # most names are bound before their use
        while added := [node for node in left if self._is_added(node, affected[id(node)], needed)]:
            kept.update(map(id, added))
            left = [node for node in left if id(node) not in kept]
        return [node for node in self._body if id(node) in kept and not _is_framework(node, needed)]

    def _is_added(self, node: ast.stmt, affected: tuple[set[str], set[str]], needed: set[str]) -> bool:
        """Tell if a statement is kept; what it reads is needed from then on."""
        is_kept = self._is_kept(node, affected, needed)
        if is_kept:
            needed |= self._functions.reads(node)
        return is_kept

    def _is_kept(self, node: ast.stmt, affected: tuple[set[str], set[str]], needed: set[str]) -> bool:
        direct, through_calls = affected
        if needed & direct:
            return True
        if id(node) in self._trials:
            return False
        if self._prints(node):
            return bool(needed & through_calls)
        if _imports(node) or ANY_NAME in direct | through_calls or needed & through_calls:
            return True
        if self._configures(node):
            return True
        return ANY_NAME in needed and not isinstance(node, ast.Expr) and "input" not in self._functions.reads(node)

    def _affects(self, node: ast.stmt) -> tuple[set[str], set[str]]:
        """Return the names that a statement binds or modifies: directly, and through calls."""
        if isinstance(node, DefinitionNode):
            direct = {node.name}
            calls = set(self._functions.changed_by_decorators(node)) - self._imported
            if isinstance(node, ast.ClassDef):
                calls |= {name for base in node.bases if (name := root_name(base)) and self._functions.defines(name)}
                calls |= self._functions.changed_by_class(node)
                held = [item for item in node.body if acts(executed_nodes(item))]
                calls |= {name for item in held for name in self._functions.touched(item)}
                calls |= set(changed_names(part for item in node.body for part in executed_nodes(item)))
            return direct, calls - self._imported
        nodes = list(executed_nodes(node))
        changing = (part for part in nodes if not self._calls_entry(part))
        direct = set(bound_names(node)) | (set(changed_names(changing)) - self._imported)
        direct |= {other for name in direct for other in self._aliased(name)}
        calls = set()
        for part in nodes:
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call) and not self._prints(part):
                calls |= {name for argument in part.value.args if (name := root_name(argument))} - {self._entry_point}
                calls |= self._functions.changed_by_calls(executed_nodes(part))
            elif isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None:
                calls |= self._functions.changed_by_calls(executed_nodes(part.value))
        if self._prints(node):
            calls |= self._functions.changed_by_values(nodes) | set(_printed_to(node))
        elif acts(nodes):
            calls |= self._functions.touched(node)
        for inner in nodes:
            if isinstance(inner, DefinitionNode):
                calls |= self._functions.changed_by_decorators(inner)
        calls |= {other for name in calls for other in self._aliased(name)}
        return direct, calls - self._imported

    def _aliased(self, name: str) -> set[str]:
        aliased: set[str] = set()
        pending = [name]
        while pending:
            for other in self._aliases.get(pending.pop(), ()):
                if other not in aliased:
                    aliased.add(other)
                    pending.append(other)
        return aliased

    def _prints(self, node: ast.AST) -> bool:
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
                return name in OUTPUT_CALLS and not self._functions.defines(name)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name) as method)):
                root = root_name(method)
                is_own = root is not None and self._functions.binds(root) and root not in self._imported
                return name in OUTPUT_CALLS and not is_own
        return False

    def _calls_entry(self, node: ast.AST) -> bool:
        """Return whether a statement only calls a method of the class that is the entry point."""
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute))):
                return name == self._entry_point and self._functions.defines(f".{attribute}")
        return False

    def _configures(self, node: ast.stmt) -> bool:
        """Return whether a statement sets something outside the program, such as the recursion limit."""
        match node:
            case ast.Expr(value=ast.Call(func=function)):
                return root_name(function) in self._imported
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                return any(map(self._is_outside, targets))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                return self._is_outside(target)
            case ast.If() | ast.Try():
                inner = [*node.body, *node.orelse]
                return any(map(self._configures, inner))
        return False

    def _is_outside(self, target: ast.expr) -> bool:
        """Tell if a target is a part of something imported, or an attribute of what that gave, other than a stream."""
        match target:
            case ast.Attribute(attr="stdin" | "stdout" | "stderr"):
                return False
            case ast.Subscript(value=held):
                return root_name(held) in self._imported
            case ast.Attribute(value=held):
                return bool({root_name(held), _called_root(held)} & (self._imported | self._from_outside))
        return False


def _value(node: ast.stmt) -> ast.expr | None:
    return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None


def _called_root(value: ast.expr | None) -> str | None:
    """Return the variable at the base of what is called: `getcontext` of `getcontext()`."""
    return root_name(value.func) if isinstance(value, ast.Call) else None


def _printed_to(node: ast.stmt) -> Iterator[str]:
    """Yield the variable of the program that `print` writes to."""
    match node:
        case ast.Expr(value=ast.Call(keywords=keywords)):
            yield from (root for word in keywords if word.arg == "file" and (root := root_name(word.value)))


def _aliases(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield pairs of a name and another name whose value, or part of it, the first may share."""
    for part in executed_nodes(node):
        match part:
            case ast.Assign(targets=targets, value=value):
                values = [value]
            case ast.For(target=target, iter=value):
                targets, values = [target], [value, *(value.args if isinstance(value, ast.Call) else ())]
            case ast.NamedExpr(target=target, value=value):
                targets, values = [target], [value]
            case _:
                continue
        of = [name for value in values for inner in _displayed(value) if (name := root_name(inner))]
        for inner in (inner for target in targets for inner in ast.walk(target)):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield from ((inner.id, other) for other in of)


def _displayed(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the expressions whose objects a value is or contains.

    A function's result is taken to be new; a method may return a part of its object.
    """
    match value:
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items) | ast.Dict(values=items):
            for item in items:
                yield from _displayed(item)
        case ast.IfExp(body=first, orelse=second):
            yield from _displayed(first)
            yield from _displayed(second)
        case ast.Call(func=ast.Attribute(attr=name)) if name not in _HANDED_OUT:
            return
        case ast.Call(func=ast.Name()) if root_name(value) is None:
            return
        case _:
            yield value


def _imports(node: ast.stmt) -> bool:
    """Return whether a statement is an import or a conditional import."""
    parts = ast.walk(node) if isinstance(node, ast.Try | ast.If) else [node]
    return any(isinstance(part, ast.Import | ast.ImportFrom) for part in parts)


def _is_framework(node: ast.stmt, needed: set[str]) -> bool:
    """Return whether a statement imports only test frameworks that no kept code uses."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return False
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.split(".")[0] for name in modules} <= _FRAMEWORKS and not needed & set(bound_names(node))


def _is_plain(node: ast.stmt, entry_point: str) -> bool:
    """Tell if a statement is kept whatever stands beside it: the entry point, or an import of no test framework."""
    if is_import(node):
        return not _is_framework(node, set())
    return isinstance(node, DefinitionNode) and node.name == entry_point


def _is_trial(node: ast.stmt) -> bool:
    """Return whether a statement can only try the program out."""
    if isinstance(node, ast.Assert):
        return True
    match node:
        case ast.If(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]), orelse=[]):
            return any(isinstance(side, ast.Name) and side.id == "__name__" for side in (left, right))
    return False


def _first_line(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, DefinitionNode) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
