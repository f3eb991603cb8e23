"""Join the blocks of an answer that belong to one program, in an order in which it loads."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from plum_hub.answers.blocks import Block
from plum_hub.answers.effects import executed_nodes
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    definitions,
    futures_first,
    is_program,
    loaded_names,
    missing_names,
    tree_of,
)
from plum_hub.answers.versions import answering, chosen_version, defines, is_aside, is_sketch, leaves_out, members

_READS = re.compile(r"\binput\(|\bstdin\b|\bopen\(0")
_WRITES = re.compile(r"\bprint\(|\bstdout\b|\bwrite\(")
_MOST_JOINED = 20
"""Blocks, the last ones, that are tried as the start of a script; each takes time in proportion to the answer."""


def joined(chosen: Block, blocks: Sequence[Block], name: str) -> str:
    """Join a block with the blocks that define names it lacks, each before what reads its names while loading.

    Earlier versions of the answer are joined only for names that no other block defines; the later definition then
    takes precedence.

    Args:
        chosen: One of the blocks.
        blocks: Blocks that may be Python, in the order of the answer.
        name: The name that the program must define; "" for a script.

    Returns:
        The program, with the blocks in the order of the answer otherwise.
    """
    tree = tree_of(chosen.code)
    position = next(index for index, block in enumerate(blocks) if block is chosen)
    if not name:
        return _program([blocks[index] for index in sorted(_script_parts(position, blocks))])
    parts = {position}
    missing = missing_names(tree) if tree is not None else set()
    for versions in (False, True):
        for index, block in enumerate(blocks):
            if not missing or index in parts or defines(block.code, name) is not versions:
                continue
            other = tree_of(block.code)
            if other is None or (versions and index > position) or not missing & definitions(other).keys():
                continue
            parts.add(index)
            missing = (missing | missing_names(other)) - definitions(other).keys()
    if missing:  # an earlier version may have them from a module
        parts |= {index for index, block in enumerate(blocks[:position]) if is_program(tree_of(block.code), "*")}
    if tree is not None:
        known: dict[str, ast.stmt] = {}
        for index, block in enumerate(blocks):
            other = tree_of(block.code)
            if other is None:
                continue
            if index in parts or (_redefines(other, known, name, block.code) and not is_aside(block, blocks)):
                parts.add(index)
                known |= definitions(other)
    return _program([blocks[index] for index in sorted(parts)])


def _script_parts(position: int, blocks: Sequence[Block]) -> set[int]:
    """Find the blocks that define names which a part of a script lacks, and the one that starts it."""
    parts = {position}
    pending, known = [position], set[str]()
    while pending:
        tree = tree_of(blocks[pending.pop()].code)
        if tree is None:
            continue
        known |= definitions(tree).keys()
        for name in sorted(missing_names(tree) - known):
            others = [block for index, block in enumerate(blocks) if index not in parts]
            supplier = chosen_version(others, name) or next(
                (one for one in others if is_program(tree_of(one.code), name)), None
            )
            if supplier is not None and name not in known:
                pending.append(next(index for index, block in enumerate(blocks) if block is supplier))
                parts.add(pending[-1])
                known |= definitions(tree_of(supplier.code) or ast.Module([], [])).keys()
    return parts | _start_of(tree_of(blocks[position].code), blocks, position)


def script(blocks: Sequence[Block]) -> tuple[str, Block] | None:
    """Find the program for standard input among blocks.

    Args:
        blocks: Blocks that may be Python, in the order of the answer.

    Returns:
        The last block that is a whole program; else the last that is one with the blocks that it lacks; else the
        longest that parses. With the block that the choice fell on; None if there is no block of Python.
    """
    parsed = [block for block in blocks if is_program(tree_of(block.code))]
    kept = answering([block for block in parsed if not leaves_out(block.code)] or parsed, blocks)
    if _communicates("\n".join(block.code for block in kept)):
        alone = ((block.code, block) for block in kept)
        completed = ((joined(block, blocks, ""), block) for block in kept[-_MOST_JOINED:])
        for tries in (alone, completed):
            if whole := [one for one in tries if is_whole(one[0])]:
                return next((one for one in reversed(whole) if one[1].is_python), whole[-1])
    if longest := max(kept, key=lambda block: (block.is_python, block.code.count("\n")), default=None):
        return joined(longest, blocks, ""), longest
    return next(((block.code, block) for block in blocks if block.is_python), None)


def _communicates(code: str) -> bool:
    return bool(_READS.search(code) and _WRITES.search(code))


def is_whole(code: str) -> bool:
    """Tell if a program lacks no name, and reads and writes by what it starts, rather than only defines.

    Args:
        code: The program.

    Returns:
        True if it is a whole program for standard input, as far as can be seen.
    """
    tree = tree_of(code) if _communicates(code) else None
    if tree is None or missing_names(tree):
        return False
    return _communicates("\n".join(map(ast.unparse, _reached(tree))))


def _reached(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module that run, and the definitions that these name, directly or through others."""
    defined: dict[str, list[ast.stmt]] = {}
    pending: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, DefinitionNode):
            defined.setdefault(node.name, []).append(node)
        else:
            pending.append(node)
    while pending:
        node = pending.pop()
        yield node
        for name in loaded_names(node) & defined.keys():
            pending += defined.pop(name)


def _program(parts: Sequence[Block]) -> str:
    """Join blocks in their order, except for those that others before them need while they load."""
    if len(parts) == 1:
        return parts[0].code
    trees = [tree_of(part.code) or ast.Module([], []) for part in parts]
    owns = [definitions(tree).keys() for tree in trees]
    order = list(range(len(parts)))
    known: set[str] = set()
    moved: set[int] = set()
    place = 0
    while place < len(order):
        lacking = _read_on_load(trees[order[place]]) - owns[order[place]] - known
        later = next((one for one in order[place + 1 :] if one not in moved and lacking & owns[one]), None)
        if later is None:
            known |= owns[order[place]]
            place += 1
        else:
            moved.add(later)
            order.remove(later)
            order.insert(place, later)
    return futures_first("\n\n".join(parts[index].code for index in order))


def _read_on_load(tree: ast.Module) -> set[str]:
    """Find the names that a module reads when it is loaded: itself, and in those of its functions that it calls."""
    defined = {node.name: node for node in tree.body if isinstance(node, DefinitionNode)}
    found: set[str] = set()
    pending = {name for node in tree.body for name in _loads(node)}
    while new := pending - found:
        found |= new
        pending = {name for one in new & defined.keys() for name in loaded_names(defined[one])}
    return found


def _loads(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement reads when it runs, annotations included."""
    for node in executed_nodes(statement):
        if isinstance(node, FunctionNode):
            said = [one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg)]
            yield from (name for one in (*said, node.returns) if one for name in loaded_names(one))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _start_of(tree: ast.Module | None, blocks: Sequence[Block], position: int) -> set[int]:
    """Return the later block that starts a script which only defines functions, if there is one."""
    if tree is None or not all(isinstance(node, (*DefinitionNode, ast.Import, ast.ImportFrom)) for node in tree.body):
        return set()
    defined = definitions(tree).keys()
    for index, block in enumerate(blocks[position + 1 :], position + 1):
        match tree_of(block.code):
            case ast.Module(body=[ast.Expr(value=ast.Call(func=ast.Name(id=called)))]) if called in defined:
                return {index}
            case ast.Module(body=[ast.If() as guard]) if "__name__" in ast.unparse(guard.test):
                return {index}
    return set()


def _redefines(tree: ast.Module, known: Mapping[str, ast.stmt], name: str, code: str) -> bool:
    """Tell if code does nothing but define helpers anew, with what is known and for the same uses."""
    body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    anew = [node for node in body if isinstance(node, DefinitionNode) and node.name != name]
    return (
        0 < len(body) == len(anew)
        and all(not is_sketch(node, code) and _replaces(node, known.get(node.name)) for node in anew)
        and any(ast.dump(node) != ast.dump(known[node.name]) for node in anew)
        and missing_names(tree) <= known.keys()
    )


def _replaces(new: ast.stmt, old: ast.stmt | None) -> bool:
    """Tell if a definition can stand where another one stood: other parameters, or a part of a class, cannot."""
    match new, old:
        case (ast.FunctionDef(args=given), ast.FunctionDef(args=before)) | (
            ast.AsyncFunctionDef(args=given), ast.AsyncFunctionDef(args=before)
        ):  # fmt: skip
            fewest, needed = (len(one.args) - len(one.defaults) for one in (given, before))
            return fewest <= needed and len(before.args) <= len(given.args)
        case ast.ClassDef(), ast.ClassDef():
            return members(old) <= members(new)
    return False
