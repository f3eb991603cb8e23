"""The program in a model's answer.

The program is kept as the model wrote it: nothing is repaired, reordered or cut out of it. What is decided here is only
where it begins and ends: which fenced blocks belong to it, or which lines where nothing is fenced.
"""

import ast
import re
from collections.abc import Sequence

from plum_hub.answers.blocks import Block, read_answer
from plum_hub.answers.source import DefinitionNode, definitions, is_stub, longest_program, missing_names, parse

EXTRACTION = "2"
"""Version of the rules by which a program is found in an answer. It is part of a verdict's id, since those rules decide
what was judged: raise it whenever an answer could give another program."""

_CODE_LINE = re.compile(
    r"(?:from [\w.]+ import \S|import [\w.]+(?: as \w+)?(?:, [\w.]+(?: as \w+)?)*\s*(?:#.*)?$"
    r"|(?:async )?def \w+\s*\(|class \w+\s*[(:]|@\w|[A-Za-z_][\w.]*(?:, ?\w+)* [-+*/|&]?= \S|print\("
    r"|(?:for|while|if|with) .*:$)"
)
_RUNS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.Try)


def extract_code(text: str, entry_point: str | None) -> str | None:
    """The program that answers a task.

    A fenced block that defines the entry point is preferred, the first complete one if there are several, joined with
    those other blocks that define a name it misses; blocks of example usage stay out. Without an entry point it is the
    longest block that parses. Text without a fence, or before a stray one, is a program if it reads as one.
    A prompt that ends inside the program must be put before its answer by the caller.

    Args:
        text: the model's answer, word for word.
        entry_point: the function or class that the program must define; None or "" for a script.

    Returns:
        The source, which need not parse; None when there is no code.
    """
    answer = read_answer(text)
    name = entry_point or ""
    if _is_code(parse(answer.preamble), name):
        return answer.preamble.strip("\n") + "\n"
    return (
        choose_program(answer.blocks, name)
        or _plain_program(answer.prose, name)
        or (choose_program(answer.blocks, "") if name else None)
    )


def choose_program(blocks: Sequence[Block], name: str) -> str | None:
    """The program among the blocks: the one that defines `name` ("" for any program), with those that it needs."""
    candidates = [block for block in blocks if block.may_be_python]
    if name:
        chosen = max(
            (b for b in candidates if defines(b.code, name)), key=lambda b: _completeness(b, name), default=None
        )
    else:
        parsed = [block for block in candidates if _is_code(parse(block.code), "")]
        chosen = max(parsed, key=lambda block: (block.is_python, block.code.count("\n")), default=None)
        chosen = chosen or next((block for block in candidates if block.is_python), None)
    return None if chosen is None else _joined(chosen, candidates, name)


def defines(code: str, name: str) -> bool:
    """Whether the code defines the name at its top level, judged by eye where it does not parse."""
    if (tree := parse(code)) is not None:
        return name in definitions(tree)
    return re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b", code, re.MULTILINE) is not None


def _completeness(block: Block, name: str) -> int:
    tree = parse(block.code)
    return 0 if tree is None else 1 if is_stub(definitions(tree)[name]) else 2


def _joined(chosen: Block, candidates: Sequence[Block], name: str) -> str:
    """The chosen block with the other blocks that define what it misses, in the order of the answer."""
    tree = parse(chosen.code)
    parts = {candidates.index(chosen)}
    missing = missing_names(tree) if tree is not None else set()
    for index, block in enumerate(candidates):
        if missing and index not in parts and not (name and defines(block.code, name)):
            other = parse(block.code)
            if other is not None and missing & definitions(other).keys():
                parts.add(index)
                missing = (missing | missing_names(other)) - definitions(other).keys()
    return "\n\n".join(candidates[index].code for index in sorted(parts))


def _is_code(tree: ast.Module | None, name: str) -> bool:
    """Whether a tree is a program, rather than a word or a number that happens to parse."""
    if tree is None:
        return False
    if name:
        return name in definitions(tree)
    return any(
        isinstance(node, DefinitionNode + _RUNS) or isinstance(getattr(node, "value", None), ast.Call)
        for node in tree.body
    )


def _plain_program(text: str, name: str) -> str | None:
    """The program in text without fences: from a line of code to the last line that still parses."""
    if _is_code(parse(text), name):
        return text.strip("\n") + "\n"
    lines = text.split("\n")
    starts = [index for index, line in enumerate(lines) if _CODE_LINE.match(line)]
    for start in starts:
        program = longest_program(lines[start:]).strip("\n") + "\n"
        if _is_code(parse(program), name):
            return program
    rest = "\n".join(lines[starts[0] :]).strip("\n") + "\n" if starts else ""
    return rest if name and defines(rest, name) else None
