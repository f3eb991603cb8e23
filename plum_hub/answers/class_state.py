"""Find what tests may leave for one another: in their class, and in functions and classes that they use."""

import ast
from collections.abc import Iterable, Iterator, Sequence

from plum_hub.answers.source import FunctionNode

_ONCE = frozenset({"setUpClass", "setup_class", "tearDownClass", "teardown_class"})


def state_of(family: Sequence[ast.ClassDef]) -> frozenset[str]:
    """Find the attributes of a class that its tests may change.

    Args:
        family: The class and its bases.

    Returns:
        Their names; none if no test changes one, or calls something with one that is no constant.
    """
    names = {node.name for node in family}
    held = {name for one in family for name in _assigned(one.body)}
    changed: set[str] = set()
    used: set[str] = set()
    for method in (item for one in family for item in one.body if isinstance(item, FunctionNode)):
        owners = names | {"cls"} | ({one.arg for one in method.args.args[:1]} if method.name in _ONCE else set())
        stores = {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute) and _is_set(node, owners)}
        if method.name in _ONCE:
            held |= stores
            continue
        changed |= stores
        for call in (node for node in ast.walk(method) if isinstance(node, ast.Call)):
            used |= {node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute)}
    return frozenset(held | changed) if changed or used & held else frozenset()


def keeps_state(node: ast.stmt) -> bool:
    """Tell whether a function or class that tests use may keep something between them.

    Args:
        node: The definition.

    Returns:
        True for a function that changes a global variable or attributes of its own, or has a default that can change,
        and for a class that has such attributes or methods.
    """
    if isinstance(node, ast.ClassDef):
        is_record = any("dataclass" in ast.unparse(one) for one in node.decorator_list)
        return (not is_record and any(_assigned(node.body))) or any(
            keeps_state(item) or _sets(item, {node.name, "cls"}) for item in node.body if isinstance(item, FunctionNode)
        )
    if not isinstance(node, FunctionNode):
        return False
    defaults = [*node.args.defaults, *node.args.kw_defaults]
    return any(isinstance(one, ast.List | ast.Dict | ast.Set | ast.Call) for one in defaults) or _sets(
        node, {node.name}
    )


def set_owners(nodes: Iterable[ast.stmt]) -> set[str]:
    """Find the names whose attributes statements set.

    Args:
        nodes: The statements.

    Returns:
        The names, such as `f` of `f.calls = 0`.
    """
    return {
        item.value.id
        for node in nodes
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute) and isinstance(item.value, ast.Name) and not isinstance(item.ctx, ast.Load)
    }


def _sets(function: ast.stmt, owners: set[str]) -> bool:
    return any(
        isinstance(item, ast.Global) or (isinstance(item, ast.Attribute) and _is_set(item, owners))
        for item in ast.walk(function)
    )


def _assigned(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the names that the body of a class gives a value which can change."""
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ) if value is not None and not _is_fixed(value):
                yield name


def _is_fixed(value: ast.expr) -> bool:
    if isinstance(value, ast.Tuple):
        return all(map(_is_fixed, value.elts))
    return isinstance(value, ast.Constant | ast.Lambda | ast.UnaryOp)


def _is_set(node: ast.Attribute, owners: set[str]) -> bool:
    """Tell whether an attribute of the class, and not of an instance, is set."""
    if isinstance(node.ctx, ast.Load):
        return False
    match node.value:
        case ast.Name(id=owner):
            return owner in owners
        case ast.Attribute(attr="__class__") | ast.Call(func=ast.Name(id="type")):
            return True
    return False
