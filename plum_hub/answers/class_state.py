"""Find what the tests of a class may leave in it for one another."""

import ast
from collections.abc import Iterator, Sequence

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


def _assigned(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the names that the body of a class gives a value which can change."""
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ) if value is not None and not isinstance(value, ast.Constant | ast.Lambda):
                yield name


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
