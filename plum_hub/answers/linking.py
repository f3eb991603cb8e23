"""Put the files of an answer into one program: before each block, the blocks that it imports by a module's name."""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from plum_hub.answers.blocks import Block
from plum_hub.answers.source import definitions, futures_first, is_import, missing_names, tree_of
from plum_hub.answers.versions import chosen_version, defines


@dataclass(frozen=True)
class _Link:
    """An import of what other blocks define.

    Attributes:
        node: The import, alone on its lines.
        otherwise: What stands in its place where there is no such module.
        suppliers: The blocks.
    """

    node: ast.Import | ast.ImportFrom
    otherwise: str
    suppliers: tuple[Block, ...]


def linked(blocks: Sequence[Block], name: str) -> list[Block]:
    """Complete blocks that import names from other blocks, which are files of their own: `from helper import f`.

    A module that exists takes precedence, and those of Python's library are none of the answer's.

    Args:
        blocks: Blocks that may be Python, in the order of the answer.
        name: The name that the program must define; what imports it, such as tests, is left as it is. "" for a script.

    Returns:
        The blocks, with what they import before them, and the imports in a `try` statement.
    """
    links = {id(block): list(_links(block, blocks, name)) for block in blocks if "import " in block.code}
    return [replace(block, code=_whole(block, links)) if links.get(id(block)) else block for block in blocks]


def _whole(block: Block, links: dict[int, list[_Link]]) -> str:
    """Return the code of a block behind that of all blocks that it imports."""
    parts: list[Block] = []

    def add(part: Block, above: tuple[Block, ...]) -> None:
        for link in links.get(id(part), ()):
            for supplier in link.suppliers:
                if not any(supplier is one for one in (*parts, *above)):
                    add(supplier, (*above, supplier))
        parts.append(part)

    add(block, (block,))
    return futures_first("\n\n".join(_tried(part.code, links.get(id(part), ())) for part in parts))


def _tried(code: str, links: Sequence[_Link]) -> str:
    """Make imports optional: what they import is defined already."""
    lines = code.split("\n")
    for link in reversed(links):
        first, last = link.node.lineno - 1, link.node.end_lineno or link.node.lineno
        tried = ["try:", f"    {ast.unparse(link.node)}", "except ImportError:", f"    {link.otherwise}"]
        lines[first:last] = [link.otherwise] if getattr(link.node, "level", 0) else tried  # a program is in no package
    return "\n".join(lines)


def _links(block: Block, blocks: Sequence[Block], name: str) -> Iterator[_Link]:
    """Yield the imports of a block that others supply, which define nothing that it defines, too."""
    if (tree := tree_of(block.code)) is None:
        return
    others = [one for one in blocks if one is not block and not (name and defines(one.code, name))]
    lines = block.code.split("\n")
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names, otherwise = _wanted(node, tree)
        suppliers = [chosen_version(others, one) for one in names]
        found = [one for one in suppliers if one is not None and not _defined(one) & _defined(block)]
        beside = lines[node.lineno - 1][: node.col_offset] + lines[(node.end_lineno or 1) - 1][node.end_col_offset :]
        if found and len(found) == len(suppliers) and not beside:
            yield _Link(node, otherwise, tuple(found))


def _wanted(node: ast.Import | ast.ImportFrom, tree: ast.Module) -> tuple[set[str], str]:
    """Return the names that a module imports from one that Python does not have, and what binds them without it."""
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
    first, *more = node.names
    if module.split(".")[0] in sys.stdlib_module_names and not getattr(node, "level", 0):
        return set(), ""
    if isinstance(node, ast.Import):
        bound = first.asname or first.name
        used = {
            part.attr
            for part in ast.walk(tree)
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == bound
        }
        fields = ", ".join(f"{one}={one}" for one in sorted(used))
        return set() if more or "." in bound else used, f'{bound} = __import__("types").SimpleNamespace({fields})'
    if first.name == "*":
        return missing_names(tree), "pass"
    renamed = [f"{one.asname} = {one.name}" for one in node.names if one.asname not in (None, one.name)]
    return {one.name for one in node.names}, "; ".join(renamed) or "pass"


def _defined(block: Block) -> set[str]:
    """Return the names that a block binds by other statements than imports."""
    tree = tree_of(block.code)
    return set() if tree is None else {name for name, node in definitions(tree).items() if not is_import(node)}
